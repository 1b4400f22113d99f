import Primitives

/// The planner's view of the overlay: which evicted rows it holds, and the step of the last change of each.
struct OverlayPlan: ~Copyable {
  private let keys: AlignedBuffer<RowKey>
  private let lastChanges: AlignedBuffer<UInt32>
  private let table: KeyTable
  private var free: FreeSlots
  /// Slots given back during the current step: its evictions are carried out before its fetches read them.
  private let released: AlignedBuffer<UInt32>
  private var releasedCount = 0
  /// Rows that came in during the current step.
  private(set) var insertedCount = 0

  /// Slots that rows evicted at this step may take.
  var freeCount: Int { free.count }
  var count: Int { keys.count - freeCount - releasedCount }

  init(_ configuration: PlannerConfiguration) {
    let capacity = configuration.trains ? configuration.overlayRows : 0
    keys = AlignedBuffer(count: capacity)
    lastChanges = AlignedBuffer(count: capacity)
    table = KeyTable(keys: keys)
    free = FreeSlots(keys: keys)
    // A step takes back the rows of one batch at most.
    released = AlignedBuffer(count: Self.releases(configuration))
    lastChanges.prefix().update(repeating: Self.vacant)
  }

  private static let vacant = UInt32.max

  private static func releases(_ configuration: PlannerConfiguration) -> Int {
    configuration.trains ? min(configuration.overlayRows, configuration.maximumUniqueRows) : 0
  }

  static func bytes(_ configuration: PlannerConfiguration) -> Int {
    let capacity = configuration.trains ? configuration.overlayRows : 0
    return capacity * (8 + 4) + KeyTable.bytes(capacity: capacity) + releases(configuration) * 4
  }

  func find(_ key: RowKey) -> Int? { table.find(key) }

  func lastChange(_ slot: Int) -> Int { Int(lastChanges.base[slot]) }

  /// A slot for a row evicted at this step, or nil if the overlay is full.
  mutating func insert(_ key: RowKey, lastChange: Int) -> Int? {
    guard let slot = free.take() else { return nil }
    insertedCount += 1
    keys.base[slot] = key
    lastChanges.base[slot] = UInt32(lastChange)
    table.insert(slot: slot)
    return slot
  }

  /// The row went back to the cache; its slot is free from the next step on.
  mutating func release(_ slot: Int) {
    table.remove(slot: slot)
    lastChanges.base[slot] = Self.vacant
    released.base[releasedCount] = UInt32(slot)
    releasedCount += 1
  }

  /// Called before anything of a step.
  mutating func beginStep() { insertedCount = 0 }

  /// Called after everything of a step.
  mutating func endStep() {
    for index in 0..<releasedCount { free.give(Int(released.base[index])) }
    releasedCount = 0
  }

  /// Rows whose last change is later than `step`. O(capacity).
  func count(changedAfter step: Int) -> Int {
    (0..<keys.count).count { lastChanges.base[$0] != Self.vacant && lastChange($0) > step }
  }

  /// Drops every row whose last change is not later than `step`: its block is as new. O(capacity).
  mutating func forget(through step: Int) {
    for slot in 0..<keys.count where lastChanges.base[slot] != Self.vacant && lastChange(slot) <= step {
      table.remove(slot: slot)
      lastChanges.base[slot] = Self.vacant
      free.give(slot)
    }
  }
}
