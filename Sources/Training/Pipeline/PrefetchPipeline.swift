import BatchStore
import Lookahead
import Primitives
import RowCache
import Synchronization

/// Reader, planner and prefetcher: three threads that deliver batches whose rows all lie in the cache.
///
/// The consumer takes batches in order with `next`, and says with `finish` when it is done with each; that is what
/// lets the prefetcher carry out the step H batches later. Freeze plans for commits arrive on `freezes`.
final class PrefetchPipeline: Sendable {
  /// Decodes the batch of a step into the given one; false at the end of the data. Called in order, on one thread.
  typealias Decode = @Sendable (_ step: Int, _ batch: Batch) throws -> Bool

  /// What the prefetcher has done and may rely on.
  private struct Progress {
    /// Steps below this one have finished their batch.
    var finished: Int
    /// Steps below this one were carried out.
    var executed: Int
    /// The blocks hold everything committed up to and including this step.
    var compactedThrough: Int
    var failure: (any Error)?
  }

  /// Items beside the H in flight: one each in the hands of reader, planner and prefetcher.
  static let spareItems = 3

  private let configuration: PlannerConfiguration
  private let cache: RowCache
  private let recycled: BoundedChannel<WorkItem>
  private let decoded: BoundedChannel<WorkItem>
  private let planned: BoundedChannel<WorkItem>
  private let ready: BoundedChannel<WorkItem>
  private let progress: Monitor<Progress>
  private let stopping = Atomic<Bool>(false)
  private let threads = Monitor<[NamedThread]>([])
  private let prefetcherClock = StationClock()
  private let plannerClock = StationClock()

  /// Freeze plans in the order of their commits; closed after the last.
  let freezes = BoundedChannel<FreezePlan>(capacity: PrefetchPipeline.freezePlans)
  private let recycledFreezes = BoundedChannel<FreezePlan>(capacity: PrefetchPipeline.freezePlans)
  /// One with the writer, one being filled.
  static let freezePlans = 2

  /// - Parameters:
  ///   - steps: first step and end; the end may lie beyond the data if `decode` says so.
  ///   - makeSource: opens the row source, on the thread that will use it.
  init(
    configuration: PlannerConfiguration, layout: BatchLayout, steps: Range<Int>, cache: RowCache,
    decode: @escaping Decode, makeSource: @escaping @Sendable () throws -> any RowSource
  ) throws {
    self.configuration = configuration
    self.cache = cache
    let items = configuration.lookahead + Self.spareItems
    recycled = BoundedChannel(capacity: items)
    ready = BoundedChannel(capacity: items)
    decoded = BoundedChannel(capacity: 1)
    planned = BoundedChannel(capacity: 1)
    let before = steps.lowerBound
    progress = Monitor(
      Progress(finished: before, executed: before, compactedThrough: before - 1, failure: nil))
    for _ in 0..<items { try recycled.send(WorkItem(layout: layout)) }
    if configuration.trains {
      for _ in 0..<Self.freezePlans {
        try recycledFreezes.send(FreezePlan(commitRows: configuration.commitRows))
      }
    }
    start("reader") { [self] in try read(steps, decode) }
    start("planner") { [self] in try plan(firstStep: before) }
    // At the usual priority: where the disk sets the pace, what it does not get while batches are computed is missing later,
    // when nothing is left to compute.
    start("prefetcher", isBackground: false) { [self] in try prefetch(makeSource) }
  }

  /// The next batch with its rows in place, or nil after the last.
  func next() throws -> WorkItem? { try ready.receive() }

  /// As `next()`; adds what it waited for to `stalls`.
  func next(stalls: inout StallTimes) throws -> WorkItem? {
    let prefetcher = prefetcherClock.times
    let planner = plannerClock.times
    let item = try next()
    stalls += StallTimes(
      prefetcher: prefetcherClock.times - prefetcher, planner: plannerClock.times - planner)
    return item
  }

  /// The consumer is done with `item`'s batch; its rows are final, and frozen if a commit follows it.
  func finish(_ item: WorkItem) throws {
    let step = item.plan.step
    progress.update { $0.finished = step + 1 }
    try recycled.send(item)
  }

  /// Waits until the steps up to and including `step` were carried out; the prefetcher then waits for the
  /// batch that the caller has not finished.
  func waitUntilExecuted(_ step: Int) throws {
    try progress.wait { state throws(any Error) -> Void? in
      if let failure = state.failure { throw failure }
      return state.executed > step ? () : nil
    }
  }

  func recycle(_ freeze: FreezePlan) throws { try recycledFreezes.send(freeze) }

  /// The compaction that followed the commit after `step` is durable.
  func compacted(through step: Int) { progress.update { $0.compactedThrough = step } }

  /// Ends the data at the batches read so far; those are still delivered.
  func stop() { stopping.store(true, ordering: .relaxed) }

  /// Ends every thread with `error` (or quietly) and waits for them.
  func shutDown(_ error: any Error = CancellationError()) {
    fail(error)
    let running = threads.update { state in
      defer { state = [] }
      return state
    }
    for thread in running { _ = thread.join() }
  }

  func fail(_ error: any Error) {
    for channel in [recycled, decoded, planned, ready] { channel.close(throwing: error) }
    freezes.close(throwing: error)
    recycledFreezes.close(throwing: error)
    progress.update { if $0.failure == nil { $0.failure = error } }
  }

  private func start(
    _ name: String, isBackground: Bool = true, _ body: @escaping @Sendable () throws -> Void
  ) {
    let thread = NamedThread(name, isBackground: isBackground) { [self] in
      do { try body() } catch { fail(error) }
    }
    threads.update { $0.append(thread) }
  }

  private func read(_ steps: Range<Int>, _ decode: Decode) throws {
    for step in steps {
      guard !stopping.load(ordering: .relaxed), let item = try recycled.receive(),
        try decode(step, item.batch)
      else { break }
      try decoded.send(item)
    }
    decoded.close()
  }

  private func plan(firstStep: Int) throws {
    var planner = Planner(configuration, firstStep: firstStep)
    while let item = try decoded.receive() {
      try planner.plan(BatchAccess(item.batch), into: item.plan)
      try planned.send(item)
      try sendFreezes(&planner, atEnd: false)
    }
    planned.close()
    planner.finish()
    try sendFreezes(&planner, atEnd: true)
    freezes.close()
  }

  private func sendFreezes(_ planner: inout Planner, atEnd: Bool) throws {
    while planner.readyFreeze(atEnd: atEnd) != nil, let freeze = try recycledFreezes.receive() {
      planner.takeFreeze(into: freeze)
      try freezes.send(freeze)
    }
  }

  private func prefetch(_ makeSource: @Sendable () throws -> any RowSource) throws {
    let source = try makeSource()
    prefetcherClock.enter(.plan)
    while let item = try planned.receive() {
      let plan = item.plan
      prefetcherClock.enter(plan.awaitsCompactionAfter == nil ? .idle : .commit)
      try progress.wait { state throws(any Error) -> Void? in
        if let failure = state.failure { throw failure }
        if let step = plan.awaitsCompactionAfter, state.compactedThrough < step { return nil }
        return state.finished > plan.step - configuration.lookahead ? () : nil
      }
      item.executed = ExecutedStep()
      prefetcherClock.enter(.evict)
      cache.evict(plan, counting: &item.executed)
      prefetcherClock.enter(.read)
      try NamedThread.renamed("fetch", from: "prefetcher") {
        try cache.fetch(plan, from: source, counting: &item.executed)
      }
      progress.update { $0.executed = plan.step + 1 }
      prefetcherClock.enter(.plan)
      try ready.send(item)
    }
    prefetcherClock.enter(.idle)
    ready.close()
  }
}
