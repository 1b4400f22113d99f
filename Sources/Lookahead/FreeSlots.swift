import Primitives

/// The vacant slots, linked through the keys that they do not have: no memory of its own. Last given, first taken.
struct FreeSlots {
  private static let none = RowKey.max
  /// One a slot; that of a slot given back holds the number of the one given back before.
  private let keys: AlignedBuffer<RowKey>
  private var lastGiven = FreeSlots.none
  /// Slots from this one on were never taken.
  private var firstUnused = 0
  private(set) var count: Int

  /// All slots are vacant; they are taken in ascending order.
  init(keys: AlignedBuffer<RowKey>) {
    self.keys = keys
    count = keys.count
  }

  /// A vacant slot, or nil if there is none. Its key is undefined.
  mutating func take() -> Int? {
    guard count > 0 else { return nil }
    count -= 1
    if lastGiven == Self.none {
      firstUnused += 1
      return firstUnused - 1
    }
    let slot = Int(lastGiven)
    lastGiven = keys.base[slot]
    return slot
  }

  /// Overwrites the key of `slot`.
  mutating func give(_ slot: Int) {
    keys.base[slot] = lastGiven
    lastGiven = RowKey(slot)
    count += 1
  }
}
