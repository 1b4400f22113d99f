public import Primitives

/// The rows that one batch uses, as the planner reads them. Pointers stay owned by the caller.
public struct BatchAccess {
  public let count: Int
  /// Distinct rows, ascending.
  public let keys: UnsafePointer<RowKey>
  /// `NextUse` codes, one a row: a hint.
  public let nextUses: UnsafePointer<UInt16>
  /// 1 where no earlier batch of the data used the row.
  public let firstTouches: UnsafePointer<UInt8>

  public init(
    count: Int, keys: UnsafePointer<RowKey>, nextUses: UnsafePointer<UInt16>,
    firstTouches: UnsafePointer<UInt8>
  ) {
    self.count = count
    self.keys = keys
    self.nextUses = nextUses
    self.firstTouches = firstTouches
  }
}

/// Decides, batch by batch, which slot every row lies in, what is fetched, what leaves, and when to commit.
///
/// A pure function of the batches and the configuration: no clock, no thread, no I/O. Step b is carried out once batch
/// b - H has finished; it may take free slots, and slots whose row was last planned for a batch <= b - H and is not used
/// by b. Such a row's value is final, so no read is ever stale, whatever the next uses say: they only choose the victim.
public struct Planner: ~Copyable {
  public let configuration: PlannerConfiguration
  private let firstStep: Int
  private var nextStep: Int

  // One entry a cache slot.
  private let keys: AlignedBuffer<RowKey>
  private let lastSteps: AlignedBuffer<UInt32>
  private let nextUses: AlignedBuffer<UInt32>
  private var free: FreeSlots
  private let table: KeyTable
  private var victims: VictimHeap

  /// The slots planned for each of the last H steps, to find those that become idle.
  private let recent: AlignedBuffer<UInt32>
  private var recentCounts: [Int]

  private var overlay: OverlayPlan
  private var commits: CommitSchedule

  /// - Parameter firstStep: the cursor: batches trained before. The cache starts empty.
  public init(_ configuration: PlannerConfiguration, firstStep: Int) {
    self.configuration = configuration
    self.firstStep = firstStep
    nextStep = firstStep
    let slots = configuration.cacheRows
    keys = AlignedBuffer(count: slots)
    lastSteps = AlignedBuffer(count: slots)
    nextUses = AlignedBuffer(count: slots)
    free = FreeSlots(keys: keys)
    table = KeyTable(keys: keys)
    victims = VictimHeap(nextUses: nextUses, keys: keys)
    recent = AlignedBuffer(count: configuration.lookahead * configuration.maximumUniqueRows)
    recentCounts = Array(repeating: 0, count: configuration.lookahead)
    overlay = OverlayPlan(configuration)
    commits = CommitSchedule(configuration, firstStep: firstStep)
  }

  /// Plans the next batch into `plan`.
  ///
  /// - Throws: `.corrupt` if the batch needs more room than the configuration promised it would.
  public mutating func plan(_ batch: BatchAccess, into plan: StepPlan) throws {
    let step = nextStep
    guard batch.count <= configuration.maximumUniqueRows, batch.count <= plan.slots.count else {
      throw ChanterError(
        .corrupt,
        "batch \(step) uses \(batch.count) distinct rows, but its dataset states a maximum of"
          + " \(configuration.maximumUniqueRows); preprocess it again")
    }
    nextStep += 1
    plan.reset(step: step, uniqueCount: batch.count)
    if configuration.trains {
      overlay.beginStep()
      if let committed = commits.forgets(at: step, overlayFree: overlay.freeCount) {
        overlay.forget(through: committed)
        plan.awaitsCompactionAfter = committed
      }
    }
    findSlots(batch, plan)
    markHits(batch, step: step, plan)
    releaseIdle(step: step, plan)
    try placeMisses(batch, step: step, plan)
    remember(step: step, plan)
    overlay.endStep()
    if configuration.trains {
      commits.endStep(step, overlay: overlay, plan)
    }
  }

  private static let missing = UInt32.max

  /// Sets the slots of a batch's rows, `missing` for those that are not in the cache.
  private func findSlots(_ batch: BatchAccess, _ plan: StepPlan) {
    // Each search waits for memory twice, and knows its addresses long before.
    let ahead = 8
    let slots = plan.slots.base
    let keys = batch.keys
    for position in 0..<min(2 * ahead, batch.count) { table.prefetchBucket(of: keys[position]) }
    for position in 0..<batch.count {
      if position + 2 * ahead < batch.count { table.prefetchBucket(of: keys[position + 2 * ahead]) }
      if position + ahead < batch.count { table.prefetchKey(of: keys[position + ahead]) }
      slots[position] = table.find(keys[position]).map { UInt32($0) } ?? Self.missing
    }
  }

  /// Takes the rows that are in the cache from the victims.
  private mutating func markHits(_ batch: BatchAccess, step: Int, _ plan: StepPlan) {
    let slots = plan.slots.base
    let ahead = 8
    for position in 0..<batch.count {
      if position + ahead < batch.count, slots[position + ahead] != Self.missing {
        let next = Int(slots[position + ahead])
        victims.prefetch(next)
        CPU.prefetch(lastSteps.base + next)
        CPU.prefetch(nextUses.base + next)
      }
      guard slots[position] != Self.missing else { continue }
      let slot = Int(slots[position])
      if configuration.policy != .window, victims.contains(slot) { victims.remove(slot) }
      let lastChange = Int(lastSteps.base[slot])
      use(slot, batch, position, step: step)
      if configuration.trains {
        commits.note(batch.keys[position], lastChange: lastChange)
      }
    }
  }

  private func use(_ slot: Int, _ batch: BatchAccess, _ position: Int, step: Int) {
    lastSteps.base[slot] = UInt32(step)
    if configuration.policy == .lru {
      // The heap's order is farthest first; counted down, the oldest use is the farthest.
      nextUses.base[slot] = .max - UInt32(step)
      return
    }
    let distance = NextUse.distance(batch.nextUses[position])
    nextUses.base[slot] = distance == 0 ? .max : UInt32(clamping: step + distance)
  }

  /// Rows last planned for batch b - H are final from here on: they may go, or with policy `window` they do go.
  private mutating func releaseIdle(step: Int, _ plan: StepPlan) {
    let finished = step - configuration.lookahead
    guard finished >= firstStep else { return }
    let lane = finished % configuration.lookahead
    let slots = recent.base + lane * configuration.maximumUniqueRows
    for index in 0..<recentCounts[lane] {
      let slot = Int(slots[index])
      guard Int(lastSteps.base[slot]) == finished else { continue }
      switch configuration.policy {
      case .min, .lru:
        victims.insert(slot)
      case .window:
        evict(slot, plan)
        free.give(slot)
      }
    }
  }

  private mutating func placeMisses(_ batch: BatchAccess, step: Int, _ plan: StepPlan) throws {
    let slots = plan.slots.base
    var lastBlock = RowKey.max
    for position in 0..<batch.count where slots[position] == Self.missing {
      let key = batch.keys[position]
      let slot = try takeSlot(step: step, plan)
      slots[position] = UInt32(slot)
      var lastChange = firstStep - 1
      if let place = overlay.find(key) {
        lastChange = overlay.lastChange(place)
        plan.overlayFrom.base[plan.overlayCount] = UInt32(place)
        plan.overlaySlots.base[plan.overlayCount] = UInt32(slot)
        plan.overlayCount += 1
        overlay.release(place)
      } else if step < configuration.trustsFirstTouchBefore, batch.firstTouches[position] != 0 {
        plan.initialKeys.base[plan.initialCount] = key
        plan.initialSlots.base[plan.initialCount] = UInt32(slot)
        plan.initialCount += 1
      } else {
        plan.blockRowKeys.base[plan.blockRowCount] = key
        plan.blockRowSlots.base[plan.blockRowCount] = UInt32(slot)
        plan.blockRowCount += 1
        let block = RowKey(table: key.table, row: key.row / UInt32(configuration.rowsPerBlock))
        if block != lastBlock { plan.blockCount += 1 }
        lastBlock = block
      }
      keys.base[slot] = key
      table.insert(slot: slot)
      use(slot, batch, position, step: step)
      if configuration.trains { commits.note(key, lastChange: lastChange) }
    }
  }

  private mutating func takeSlot(step: Int, _ plan: StepPlan) throws -> Int {
    if let slot = free.take() { return slot }
    guard let victim = victims.top else {
      throw ChanterError(
        .corrupt,
        "batches \(step - configuration.lookahead + 1) to \(step) use more distinct rows than their dataset states;"
          + " preprocess it again")
    }
    victims.remove(victim)
    evict(victim, plan)
    return victim
  }

  /// Takes the row out of `slot`; to the overlay if its block is older.
  private mutating func evict(_ slot: Int, _ plan: StepPlan) {
    let key = keys.base[slot]
    let lastChange = Int(lastSteps.base[slot])
    table.remove(slot: slot)
    var place = StepPlan.discarded
    if configuration.trains, lastChange > commits.compactedThrough {
      guard let free = overlay.insert(key, lastChange: lastChange) else {
        // The commit schedule ends no step without room for all that the next one may evict.
        preconditionFailure("the overlay outgrew its bound")
      }
      place = UInt32(free)
    }
    plan.evictedSlots.base[plan.evictedCount] = UInt32(slot)
    plan.evictedTo.base[plan.evictedCount] = place
    plan.evictedCount += 1
  }

  private mutating func remember(step: Int, _ plan: StepPlan) {
    let lane = step % configuration.lookahead
    recentCounts[lane] = plan.uniqueCount
    (recent.base + lane * configuration.maximumUniqueRows).update(
      from: plan.slots.base, count: plan.uniqueCount)
  }

  /// The step of the oldest commit whose rows' places are known by now, if any: call `takeFreeze` for it before the
  /// next step is planned. After the last batch every commit left is ready (`atEnd`).
  public func readyFreeze(atEnd: Bool = false) -> Int? {
    commits.ready(afterStep: nextStep - 1, atEnd: atEnd)
  }

  /// Fills `freeze` with the places of the rows of the commit that `readyFreeze` named.
  public mutating func takeFreeze(into freeze: FreezePlan) {
    let interval = commits.takeFirst()
    freeze.step = interval.step
    freeze.executedStep = nextStep - 1
    freeze.compacts = interval.compacts
    freeze.count = interval.count
    for index in 0..<interval.count {
      let key = commits.dirty.removeFirst()
      freeze.keys.base[index] = key
      if let slot = table.find(key) {
        freeze.places.base[index] = UInt32(slot)
      } else if let place = overlay.find(key) {
        freeze.places.base[index] = UInt32(place) | FreezePlan.overlayFlag
      } else {
        preconditionFailure("a changed row is neither in the cache nor in the overlay")
      }
    }
  }

  /// Closes the plan with a commit after the last planned batch, if batches were planned since the last commit.
  /// Then `readyFreeze(atEnd: true)` names every commit left.
  public mutating func finish() {
    guard configuration.trains, nextStep > firstStep else { return }
    commits.finish(lastStep: nextStep - 1)
  }
}
