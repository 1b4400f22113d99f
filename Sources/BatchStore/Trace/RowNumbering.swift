import Primitives

/// Numbers distinct rows in order of first appearance: open addressing with linear probing.
///
/// Memory by distinct rows: 8 bytes of key and 5.3 to 10.7 of slots for each.
final class RowNumbering {
  private let keys = GrowableBuffer<RowKey>()
  /// Number + 1 of the row that lies here, 0 for none.
  private var slots: UnsafeMutablePointer<UInt32>
  private var mask: Int

  init() {
    mask = 1023
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
  }

  deinit { slots.deallocate() }

  /// Distinct rows so far.
  var count: Int { keys.count }

  /// The number of `key`; a new row gets the next one, which is `count` before the call.
  func number(of key: RowKey) -> UInt32 {
    var slot = home(of: key)
    while true {
      let entry = slots[slot]
      if entry == 0 { break }
      if keys.base[Int(entry - 1)] == key { return entry - 1 }
      slot = (slot + 1) & mask
    }
    keys.append(key)
    slots[slot] = UInt32(keys.count)
    if keys.count * 4 > (mask + 1) * 3 { grow() }
    return UInt32(keys.count - 1)
  }

  @inline(__always)
  private func home(of key: RowKey) -> Int {
    // Fibonacci hashing of both halves: rows of one table are consecutive, tables differ in the high half.
    let mixed = (key ^ (key >> 32) &* 0x9E37_79B9) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed >> 24) & mask
  }

  private func grow() {
    slots.deallocate()
    mask = 2 * mask + 1
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
    for number in 0..<keys.count {
      var slot = home(of: keys.base[number])
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = UInt32(number + 1)
    }
  }
}
