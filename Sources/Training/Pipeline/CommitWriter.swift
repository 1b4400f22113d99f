import Lookahead
import Models
import Primitives
import TableStore

/// The writer thread: commits from a frozen copy while training goes on, and compacts between commits.
///
/// One commit is in flight at most. A compaction runs in small transactions and lets a waiting commit go first.
final class CommitWriter: Sendable {
  struct Totals: Equatable, Sendable {
    var commits = 0
    var compactions = 0
    var bytesWritten = 0
  }

  private enum Job: Sendable {
    case rows(FreezePlan)
    /// The dense record alone, once more at this cursor.
    case record(cursor: Int)
  }

  private struct State {
    /// The commit handed over and not durable yet.
    var job: Job?
    var isCompacting = false
    var isClosing = false
    var failure: (any Error)?
    var totals = Totals()
  }

  private let store: ModelStore
  private let compactionBlocks: Int
  private let monitor = Monitor(State())
  private let thread: Monitor<NamedThread?> = Monitor(nil)

  /// [commitRows × rowFloats]: the trainer fills it between `waitUntilIdle` and `submit`.
  let frozen: AlignedBuffer<Float>
  /// A copy of the dense record, filled likewise.
  let dense: AlignedBuffer<UInt8>
  private let order: AlignedBuffer<UInt32>
  private let scratch: AlignedBuffer<UInt32>

  /// - Parameters:
  ///   - committed: called on the writer thread with each plan whose commit is durable.
  ///   - compacted: called on the writer thread with the step whose commit's compaction is durable.
  init(
    store: ModelStore, commitRows: Int, compactionBlocks: Int, denseRecordBytes: Int,
    committed: @escaping @Sendable (FreezePlan) throws -> Void, compacted: @escaping @Sendable (Int) -> Void,
    failed: @escaping @Sendable (any Error) -> Void
  ) {
    self.store = store
    self.compactionBlocks = compactionBlocks
    frozen = AlignedBuffer(count: commitRows * store.layout.rowFloats)
    dense = AlignedBuffer(count: denseRecordBytes)
    order = AlignedBuffer(count: commitRows)
    scratch = AlignedBuffer(count: commitRows)
    // At the usual priority: training waits for it where the overlay is full before a compaction has ended.
    let writer = NamedThread("writer") { [self] in
      do {
        try run(committed: committed, compacted: compacted)
      } catch {
        monitor.update { $0.failure = error }
        failed(error)
      }
    }
    thread.update { $0 = writer }
  }

  static func bytes(commitRows: Int, rowBytes: Int, denseRecordBytes: Int) -> Int {
    commitRows * (rowBytes + 8) + denseRecordBytes
      + PrefetchPipeline.freezePlans * FreezePlan.bytes(commitRows: commitRows)
  }

  /// Waits until the last submitted commit is durable.
  func waitUntilIdle() throws {
    try monitor.wait { state throws(any Error) -> Void? in
      if let failure = state.failure { throw failure }
      return state.job == nil ? () : nil
    }
  }

  /// Waits until the last submitted commit and its compaction are durable.
  func waitUntilCompacted() throws {
    try monitor.wait { state throws(any Error) -> Void? in
      if let failure = state.failure { throw failure }
      return state.job == nil && !state.isCompacting ? () : nil
    }
  }

  func submit(_ freeze: FreezePlan) { monitor.update { $0.job = .rows(freeze) } }

  /// Commits `dense` with no row, at the cursor of the last commit: what a validation has decided.
  func submitRecord(cursor: Int) { monitor.update { $0.job = .record(cursor: cursor) } }

  var totals: Totals { monitor.read { $0.totals } }

  /// Finishes the commit in flight, leaves a compaction where it stands, and ends the thread.
  func shutDown() {
    monitor.update { $0.isClosing = true }
    let running = thread.update { state in
      defer { state = nil }
      return state
    }
    _ = running?.join()
  }

  private enum Work {
    case commit(Job)
    case compact
    case end
  }

  private func run(
    committed: @Sendable (FreezePlan) throws -> Void, compacted: @Sendable (Int) -> Void
  ) throws {
    var compaction: (run: Compaction, step: Int)?
    func compact(_ current: (run: Compaction, step: Int)) throws {
      guard try NamedThread.renamed("compaction", from: "writer", { try current.run.step() }) else { return }
      compaction = nil
      compacted(current.step)
      monitor.update { state in
        state.isCompacting = false
        state.totals.compactions += 1
        state.totals.bytesWritten += current.run.bytesWritten
      }
    }
    while true {
      let isCompacting = compaction != nil
      let work = monitor.wait { state -> Work? in
        if let job = state.job { return .commit(job) }
        if state.isClosing { return .end }
        return isCompacting ? .compact : nil
      }
      switch work {
      case .end: return
      case .commit(let job):
        // Each compaction that was planned is carried out whole, so that it writes what the plan counts.
        if case .rows(let freeze) = job, freeze.compacts {
          while let current = compaction { try compact(current) }
        }
        let written = try NamedThread.renamed("commit", from: "writer") { try commit(job) }
        if case .rows(let freeze) = job {
          if freeze.compacts {
            if let next = try store.makeCompaction(maximumBlocks: compactionBlocks) {
              compaction = (next, freeze.step)
            } else {
              compacted(freeze.step)
            }
          }
          try committed(freeze)
        }
        let isCompacting = compaction != nil
        monitor.update { state in
          state.job = nil
          state.isCompacting = isCompacting
          state.totals.commits += 1
          state.totals.bytesWritten += written
        }
      case .compact:
        if let current = compaction { try compact(current) }
      }
    }
  }

  private func commit(_ job: Job) throws -> Int {
    switch job {
    case .rows(let freeze):
      RadixSort.sort(
        keys: freeze.keys.base, count: freeze.count, order: order.base, scratch: scratch.base)
      return try store.commit(
        keys: freeze.keys.base, order: order.base, count: freeze.count, rows: frozen.base,
        dense: dense.rawBytes, cursor: UInt64(freeze.step + 1)
      ).bytesWritten
    case .record(let cursor):
      return try store.commit(dense: dense.rawBytes, cursor: UInt64(cursor)).bytesWritten
    }
  }
}
