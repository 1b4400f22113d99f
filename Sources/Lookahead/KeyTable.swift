import Primitives

/// A fixed-capacity map from row key to slot number: open addressing with linear probing, load at most one half.
///
/// The keys themselves lie with the slots (`keys[slot]`), so an entry takes 4 bytes. Nothing iterates over it, so
/// its order reaches no result. Look-up, insertion and removal are O(1) expected.
struct KeyTable {
  private static let empty = UInt32.max
  private let buckets: AlignedBuffer<UInt32>
  private let mask: Int
  /// Key of each occupied slot; owned by the caller, who sets it before `insert`.
  private let keys: AlignedBuffer<RowKey>

  /// - Parameter keys: one key a slot; its count is the table's capacity.
  init(keys: AlignedBuffer<RowKey>) {
    self.keys = keys
    buckets = AlignedBuffer(count: Self.bucketCount(capacity: keys.count))
    mask = buckets.count - 1
    buckets.prefix().update(repeating: Self.empty)
  }

  static func bytes(capacity: Int) -> Int { bucketCount(capacity: capacity) * 4 }

  private static func bucketCount(capacity: Int) -> Int {
    var count = 16
    while count < 2 * capacity { count *= 2 }
    return count
  }

  private func home(_ key: RowKey) -> Int {
    // The multiplication spreads consecutive rows; the high bits are the mixed ones.
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 20) & mask
  }

  func find(_ key: RowKey) -> Int? {
    let buckets = buckets.base
    let keys = keys.base
    var bucket = home(key)
    while true {
      let slot = buckets[bucket]
      if slot == Self.empty { return nil }
      if keys[Int(slot)] == key { return Int(slot) }
      bucket = (bucket + 1) & mask
    }
  }

  /// Adds `keys[slot]`, which must not be in the table yet.
  func insert(slot: Int) {
    let buckets = buckets.base
    var bucket = home(keys.base[slot])
    while buckets[bucket] != Self.empty { bucket = (bucket + 1) & mask }
    buckets[bucket] = UInt32(slot)
  }

  /// Takes out `keys[slot]`, and moves later entries of its run back so that probing never meets a gap.
  func remove(slot: Int) {
    let buckets = buckets.base
    let keys = keys.base
    var hole = home(keys[slot])
    while buckets[hole] != UInt32(slot) { hole = (hole + 1) & mask }
    var bucket = hole
    while true {
      bucket = (bucket + 1) & mask
      let candidate = buckets[bucket]
      if candidate == Self.empty { break }
      let distanceFromHome = (bucket - home(keys[Int(candidate)])) & mask
      if distanceFromHome >= (bucket - hole) & mask {
        buckets[hole] = candidate
        hole = bucket
      }
    }
    buckets[hole] = Self.empty
  }
}
