import BatchStore
import Lookahead
import Models
import Primitives
import RowCache
import TableStore

/// Trains with the rows on disk and a fixed-size cache of them in memory.
final class OutOfCoreTrainer {
  private let store: ModelStore
  private let network: DenseModel
  private let workers: WorkerPool
  private let memory: MemoryPlan
  private let planner: PlannerConfiguration
  private let batchLayout: BatchLayout
  private let makeDecode: () throws -> PrefetchPipeline.Decode

  init(
    store: ModelStore, network: DenseModel, workers: WorkerPool, memory: MemoryPlan, needs: MemoryNeeds,
    makeDecode: @escaping () throws -> PrefetchPipeline.Decode
  ) {
    self.store = store
    self.network = network
    self.workers = workers
    self.memory = memory
    planner = needs.planner(memory)
    batchLayout = needs.batchLayout
    self.makeDecode = makeDecode
  }

  /// Trains `steps` (or fewer, when `stop` is requested) and commits at the end.
  func run(_ steps: Range<Int>, stop: StopSignal, meter: RunMeter, observer: StepObserver?) throws {
    let cache = RowCache(layout: store.layout, cacheRows: memory.cacheRows, overlayRows: memory.overlayRows)
    let store = store
    let uniqueRows = batchLayout.maximumUniqueRows
    let pipeline = try PrefetchPipeline(
      configuration: planner, layout: batchLayout, steps: steps, cache: cache, decode: makeDecode(),
      makeSource: { try store.makeFetcher(maximumRows: uniqueRows) })
    defer { pipeline.shutDown() }
    let writer = CommitWriter(
      store: store, commitRows: memory.commitRows, compactionBlocks: memory.compactionBlocks,
      denseRecordBytes: network.parameterBytes.count,
      committed: { try pipeline.recycle($0) }, compacted: { pipeline.compacted(through: $0) },
      failed: { pipeline.fail($0) })
    defer { writer.shutDown() }

    meter.begin()
    func commit(_ freeze: FreezePlan) throws {
      // The plan names the places of the rows as they are after this step; the next one waits for this batch.
      try pipeline.waitUntilExecuted(freeze.executedStep)
      try writer.waitUntilIdle()
      cache.freeze(freeze, into: writer.frozen, workers: workers)
      UnsafeMutableRawBufferPointer(writer.dense.prefix()).copyMemory(from: network.parameterBytes)
      writer.submit(freeze)
    }

    while let item = try pipeline.next(stalls: &meter.stalls) {
      let batch = item.batch
      let input = BatchInput(
        batch, rows: cache.rows.base, rowFloats: store.layout.rowFloats, slots: item.plan.slots.base)
      let loss = network.step(input)
      try requireFinite(loss, step: item.plan.step)
      try observer?(
        TrainedStep(step: item.plan.step, batch: batch, input: input, parameters: network.parameterBytes))
      if item.plan.commitsAfter {
        // The places of the rows are known once the planner is H - 1 batches on, which may itself wait for a compaction.
        try meter.waitingForCommit {
          guard let freeze = try pipeline.freezes.receive(), freeze.step == item.plan.step else {
            throw ChanterError(.broken, "the commit after batch \(item.plan.step) has no freeze plan")
          }
          try commit(freeze)
        }
      }
      meter.count(item.executed, uniqueRows: batch.uniqueCount, samples: batch.sampleCount, loss: loss)
      let step = item.plan.step
      try pipeline.finish(item)
      meter.report(step: step, writer: writer.totals)
      if stop.isRequested { pipeline.stop() }
    }
    while let freeze = try pipeline.freezes.receive() {
      try meter.waitingForCommit { try commit(freeze) }
    }
    // A run that reaches its end counts whole compactions, as its plan does; one that is stopped ends at its commit.
    if stop.isRequested { try writer.waitUntilIdle() } else { try writer.waitUntilCompacted() }
    meter.count(writer.totals)
  }
}

/// Stops a run that diverged before another commit.
func requireFinite(_ loss: Double, step: Int) throws {
  guard loss.isFinite else {
    throw ChanterError(
      .diverged,
      "the loss of batch \(step + 1) is \(loss): training has diverged. Start again with a lower rows.learning_rate or"
        + " dense.learning_rate; nothing from this batch on was committed")
  }
}

extension ChanterError.Kind {
  /// Training gave numbers that are not finite.
  static let diverged = ChanterError.Kind("diverged")
}

/// What an observer sees after each trained batch, before its rows may move.
struct TrainedStep {
  let step: Int
  let batch: Batch
  let input: BatchInput
  let parameters: UnsafeRawBufferPointer
}

typealias StepObserver = (TrainedStep) throws -> Void

extension BatchInput {
  /// A decoded batch with its rows at `slots`.
  init(_ batch: Batch, rows: UnsafeMutablePointer<Float>, rowFloats: Int, slots: UnsafePointer<UInt32>) {
    self.init(
      sampleCount: batch.sampleCount, dense: batch.dense.base, labels: batch.labels.base,
      uniqueCount: batch.uniqueCount, tableOffsets: batch.tableOffsets.base, inverse: batch.inverse.base,
      rows: rows, rowFloats: rowFloats, slots: slots)
  }
}
