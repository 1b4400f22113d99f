import BatchStore
import Lookahead
import Primitives
import TableStore

/// Counts what a training run from scratch will do, by the same planner and without rows: no fetch, no commit, no maths.
///
/// Unchecked `Sendable`: one thread at a time steps it.
final class PlannedRun: @unchecked Sendable {
  private(set) var counters = RunCounters()
  private let layout: RowLayout
  private let validationInterval: Int?
  private let denseRecordBytes: Int
  private var planner: Planner
  private let plan: StepPlan
  private let freeze: FreezePlan
  /// Blocks of the rows committed since the last compaction: what the next one writes.
  private var uncompacted: BlockSet

  init(_ memory: MemoryPlan, _ needs: MemoryNeeds) {
    let configuration = needs.planner(memory)
    layout = needs.rowLayout
    validationInterval = needs.validation?.interval
    denseRecordBytes = needs.denseRecordBytes
    planner = Planner(configuration, firstStep: 0)
    plan = StepPlan(maximumUniqueRows: configuration.maximumUniqueRows)
    freeze = FreezePlan(commitRows: configuration.commitRows)
    uncompacted = BlockSet(layout)
  }

  /// Bytes that a planned run of these sizes holds.
  static func bytes(_ memory: MemoryPlan, _ needs: MemoryNeeds) -> Int {
    let configuration = needs.planner(memory)
    return configuration.memoryBytes
      + StepPlan.bytes(maximumUniqueRows: configuration.maximumUniqueRows)
      + FreezePlan.bytes(commitRows: configuration.commitRows) + BlockSet.bytes(needs.rowLayout)
  }

  func step(_ batch: Batch) throws {
    try planner.plan(BatchAccess(batch), into: plan)
    counters.count(plan, samples: batch.sampleCount)
    takeFreezes(atEnd: false)
  }

  /// The end of a run that finishes: its last commit, and the compaction that leaves every row in its block.
  func finish() {
    planner.finish()
    takeFreezes(atEnd: true)
    compact()
  }

  private func takeFreezes(atEnd: Bool) {
    while planner.readyFreeze(atEnd: atEnd) != nil {
      planner.takeFreeze(into: freeze)
      for index in 0..<freeze.count { uncompacted.insert(freeze.keys.base[index]) }
      counters.commits += 1
      counters.bytesWritten += WrittenBytes.commit(
        rows: freeze.count, denseBytes: denseRecordBytes, layout: layout)
      if freeze.compacts { compact() }
      // What a validation decides is committed, too, with no row.
      if let validationInterval, (freeze.step + 1) % validationInterval == 0 {
        counters.commits += 1
        counters.bytesWritten += WrittenBytes.commit(rows: 0, denseBytes: denseRecordBytes, layout: layout)
      }
    }
  }

  private func compact() {
    guard uncompacted.count > 0 else { return }
    counters.compactions += 1
    counters.bytesWritten += WrittenBytes.compaction(blocks: uncompacted.count, layout: layout)
    uncompacted.removeAll()
  }
}

extension BatchAccess {
  /// The rows of a decoded batch, as the planner reads them.
  init(_ batch: Batch) {
    self.init(
      count: batch.uniqueCount, keys: batch.keys.base, nextUses: batch.nextUse.base,
      firstTouches: batch.firstTouch.base)
  }
}
