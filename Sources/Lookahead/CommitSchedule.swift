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
  /// Rows that entered the overlay in each of the last H steps, and their sum.
  private var insertions: [Int]
  private var windowInsertions = 0
  /// The overlay is full: the step just planned is the last one before every batch so far is trained, committed and compacted.
  private var isDrained = false
  /// The commit whose compaction was asked for and is not relied on yet.
  private var pendingCompaction: Int?
  /// Rows last changed at this step or before are in their blocks for every step planned from here on.
  private(set) var compactedThrough: Int

  init(_ configuration: PlannerConfiguration, firstStep: Int) {
    self.configuration = configuration
    dirty = DirtyRows(capacity: configuration.trains ? configuration.dirtyRowsCapacity : 0)
    lastCommit = firstStep - 1
    insertions = Array(repeating: 0, count: configuration.lookahead)
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
  mutating func forgets(at step: Int, overlayFree: Int) -> Int? {
    guard let pending = pendingCompaction, isDrained || step >= pending + configuration.lookahead else {
      return nil
    }
    let patience = max(
      configuration.lookahead, configuration.commitInterval * configuration.commitsPerCompaction / 2)
    guard isDrained || overlayFree < configuration.maximumUniqueRows || step >= pending + patience else {
      return nil
    }
    isDrained = false
    pendingCompaction = nil
    compactedThrough = pending
    return pending
  }

  /// Called after a step was planned: decides whether a commit and a compaction follow its batch.
  mutating func endStep(_ step: Int, overlay: borrowing OverlayPlan, _ plan: StepPlan) {
    let lane = step % configuration.lookahead
    windowInsertions += overlay.insertedCount - insertions[lane]
    insertions[lane] = overlay.insertedCount

    let isFull = dirty.openCount + configuration.maximumUniqueRows > configuration.commitRows
    let isDue =
      (step + 1) % configuration.commitInterval == 0
      || configuration.boundaryInterval.map { (step + 1) % $0 == 0 } ?? false
    // The commit is taken H steps from now, and half of the overlay is for what leaves while its compaction runs: one that
    // begins later ends later than there is room, and training waits for it. In the least overlay that is all of it, so that one
    // compaction follows the other.
    let reserve = configuration.maximumUniqueRows + windowInsertions + configuration.overlayRows / 2
    let needsRoom = pendingCompaction == nil && overlay.count > 0 && overlay.freeCount < reserve
    isDrained = cannotGoOn(after: step, overlay)
    guard isFull || isDue || needsRoom || isDrained else { return }
    commitsSinceCompaction += 1
    let compacts =
      isDrained
      || pendingCompaction == nil
        && (needsRoom || commitsSinceCompaction >= configuration.commitsPerCompaction)
    close(step, compacts: compacts)
    plan.commitsAfter = true
    plan.compactsAfter = compacts
  }

  /// Whether the next step, which may move out as many rows as the largest batch uses, would not find room for them even
  /// if the overlay forgot what it may forget by then.
  private func cannotGoOn(after step: Int, _ overlay: borrowing OverlayPlan) -> Bool {
    let needed = configuration.maximumUniqueRows
    if overlay.freeCount >= needed { return false }
    guard let pending = pendingCompaction, step + 1 >= pending + configuration.lookahead else { return true }
    return configuration.overlayRows - overlay.count(changedAfter: pending) < needed
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
    return atEnd || isDrained || step >= first.step + configuration.lookahead - 1 ? first.step : nil
  }

  mutating func takeFirst() -> Interval { waiting.removeFirst() }
}
