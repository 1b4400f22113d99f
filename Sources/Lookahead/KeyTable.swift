import Primitives

/// A fixed-capacity map from row key to slot number: open addressing with linear probing, load at most one half.
///
/// The keys themselves lie with the slots (`keys[slot]`), so a slot of the caller's takes 8 bytes. Nothing iterates over it, so
/// its order reaches no result. Look-up, insertion and removal are O(1) expected.
struct KeyTable {
  private static let empty = UInt32.max
  private let buckets: AlignedBuffer<UInt32>
  /// Key of each occupied slot; owned by the caller, who sets it before `insert`.
  private let keys: AlignedBuffer<RowKey>

  /// - Parameter keys: one key a slot; its count is the table's capacity.
  init(keys: AlignedBuffer<RowKey>) {
    self.keys = keys
    buckets = AlignedBuffer(count: Self.bucketCount(capacity: keys.count))
    buckets.prefix().update(repeating: Self.empty)
  }

  static func bytes(capacity: Int) -> Int { bucketCount(capacity: capacity) * 4 }

  /// Always more than the slots, so that every search ends.
  private static func bucketCount(capacity: Int) -> Int { max(16, 2 * capacity) }

  @inline(__always)
  private func home(_ key: RowKey) -> Int {
    // The multiplication by 2^64 over the golden ratio spreads consecutive rows evenly (Knuth, TAOCP 3, section 6.4); its high
    // bits, the mixed ones, choose the bucket.
    let mixed = key &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed.multipliedFullWidth(by: UInt64(buckets.count)).high)
  }

  @inline(__always)
  private func after(_ bucket: Int) -> Int { bucket + 1 == buckets.count ? 0 : bucket + 1 }

  /// Steps from one bucket forward to another.
  @inline(__always)
  private func distance(from start: Int, to end: Int) -> Int {
    end >= start ? end - start : end - start + buckets.count
  }

  /// Brings into the CPU's cache where a search for `key` begins.
  @inline(__always)
  func prefetchBucket(of key: RowKey) { CPU.prefetch(buckets.base + home(key)) }

  /// Brings into the CPU's cache the key that a search for `key` compares first; best some time after `prefetchBucket`.
  @inline(__always)
  func prefetchKey(of key: RowKey) {
    let slot = buckets.base[home(key)]
    if slot != Self.empty { CPU.prefetch(keys.base + Int(slot)) }
  }

  func find(_ key: RowKey) -> Int? {
    let buckets = buckets.base
    let keys = keys.base
    var bucket = home(key)
    while true {
      let slot = buckets[bucket]
      if slot == Self.empty { return nil }
      if keys[Int(slot)] == key { return Int(slot) }
      bucket = after(bucket)
    }
  }

  /// Adds `keys[slot]`, which must not be in the table yet.
  func insert(slot: Int) {
    let buckets = buckets.base
    var bucket = home(keys.base[slot])
    while buckets[bucket] != Self.empty { bucket = after(bucket) }
    buckets[bucket] = UInt32(slot)
  }

  /// Takes out `keys[slot]`, and moves later entries of its run back so that probing never meets a gap.
  func remove(slot: Int) {
    let buckets = buckets.base
    let keys = keys.base
    var hole = home(keys[slot])
    while buckets[hole] != UInt32(slot) { hole = after(hole) }
    var bucket = hole
    while true {
      bucket = after(bucket)
      let candidate = buckets[bucket]
      if candidate == Self.empty { break }
      if distance(from: home(keys[Int(candidate)]), to: bucket) >= distance(from: hole, to: bucket) {
        buckets[hole] = candidate
        hole = bucket
      }
    }
    buckets[hole] = Self.empty
  }
}
