import Primitives

/// When to commit, when to compact, and when the overlay forgets: functions of the plan, never of the clock.
///
/// One number a row says everything: the step of its last change. Later than the last commit: to be written by the next
/// one. Later than `compactedThrough`: newer than its block.
struct CommitSchedule {
  struct Interval {
    let step: Int
    let count: Int
    let compacts: Bool
  }

  private let configuration: PlannerConfiguration
  var dirty: DirtyRows
  /// Commits whose rows' places are not settled yet, oldest first. At most `lookahead` of them.
  private var waiting: [Interval] = []
  private var lastCommit: Int
  private var commitsSinceCompaction = 0
  /// The commit whose compaction was asked for and is not relied on yet.
  private var pendingCompaction: Int?
  /// Rows last changed at this step or before are in their blocks for every step planned from here on.
  private(set) var compactedThrough: Int

  init(_ configuration: PlannerConfiguration, firstStep: Int) {
    self.configuration = configuration
    dirty = DirtyRows(capacity: configuration.trains ? configuration.dirtyRowsCapacity : 0)
    lastCommit = firstStep - 1
    compactedThrough = firstStep - 1
  }

  /// A row changes at the current step. Only its first change since the last commit adds it to the next one.
  mutating func note(_ key: RowKey, lastChange: Int) {
    if lastChange <= lastCommit { dirty.append(key) }
  }

  /// Called before a step is planned: the step after which the commit lies whose compaction this step has to wait for.
  ///
  /// As late as possible, since waiting may stall: when the overlay needs the room, or when half the usual distance to
  /// the next compaction has passed.
  mutating func forgets(at step: Int, overlayCount: Int) -> Int? {
    guard let pending = pendingCompaction, step >= pending + configuration.lookahead else { return nil }
    let patience = max(
      configuration.lookahead, configuration.commitInterval * configuration.commitsPerCompaction / 2)
    guard overlayCount > configuration.overlayLimit || step >= pending + patience else { return nil }
    pendingCompaction = nil
    compactedThrough = pending
    return pending
  }

  /// Called after a step was planned: decides whether a commit and a compaction follow its batch.
  mutating func endStep(_ step: Int, overlayCount: Int, _ plan: StepPlan) {
    let isFull = dirty.openCount + configuration.maximumUniqueRows > configuration.commitRows
    let isDue =
      (step + 1) % configuration.commitInterval == 0
      || configuration.boundaryInterval.map { (step + 1) % $0 == 0 } ?? false
    // Half the limit, so that the compaction can run while training goes on.
    let needsRoom = pendingCompaction == nil && overlayCount > configuration.overlayLimit / 2
    guard isFull || isDue || needsRoom else { return }
    commitsSinceCompaction += 1
    let compacts =
      pendingCompaction == nil && (needsRoom || commitsSinceCompaction >= configuration.commitsPerCompaction)
    close(step, compacts: compacts)
    plan.commitsAfter = true
    plan.compactsAfter = compacts
  }

  private mutating func close(_ step: Int, compacts: Bool) {
    waiting.append(Interval(step: step, count: dirty.closeInterval(), compacts: compacts))
    lastCommit = step
    if compacts {
      pendingCompaction = step
      commitsSinceCompaction = 0
    }
  }

  mutating func finish(lastStep: Int) {
    if lastCommit < lastStep { close(lastStep, compacts: false) }
  }

  func ready(afterStep step: Int, atEnd: Bool) -> Int? {
    guard let first = waiting.first else { return nil }
    return atEnd || step >= first.step + configuration.lookahead - 1 ? first.step : nil
  }

  mutating func takeFirst() -> Interval { waiting.removeFirst() }
}
