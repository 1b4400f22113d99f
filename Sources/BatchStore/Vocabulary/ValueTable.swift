import Primitives

/// Numbers distinct byte strings in order of first appearance. Exact: values are compared byte by byte, so two never
/// share a number, whatever their hashes.
///
/// Open addressing with linear probing. Memory by distinct value: its bytes, 8 for the offset and 10.7 to 21.3 for the
/// slot (32 bits of hash beside the number, so that other values are rarely looked at).
public final class ValueTable {
  private let bytes = GrowableBuffer<UInt8>()
  /// Where each value starts in `bytes`; one more for the end.
  private let offsets = GrowableBuffer<UInt64>()
  /// High half of the hash, then number + 1; 0 is empty.
  private var slots: UnsafeMutablePointer<UInt64>
  private var mask: Int

  public init() {
    mask = 63
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
    offsets.append(0)
  }

  deinit { slots.deallocate() }

  /// Distinct values.
  public var count: Int { offsets.count - 1 }

  /// The value with this number; valid until the next `intern`.
  public func value(_ number: Int) -> UnsafeRawBufferPointer {
    precondition(number >= 0 && number < count)
    let start = Int(offsets.base[number])
    return UnsafeRawBufferPointer(
      start: bytes.base + start, count: Int(offsets.base[number + 1]) - start)
  }

  /// The number of `value`, or nil if it was never interned.
  public func find(_ value: UnsafeRawBufferPointer) -> Int? {
    let slot = probe(value, Fingerprint.short(value))
    return slots[slot] == 0 ? nil : Int(slots[slot] & 0xFFFF_FFFF) - 1
  }

  /// The number of `value`; a new one gets the next, which is `count` before the call.
  public func intern(_ value: UnsafeRawBufferPointer) -> Int {
    let hash = Fingerprint.short(value)
    let slot = probe(value, hash)
    if slots[slot] != 0 { return Int(slots[slot] & 0xFFFF_FFFF) - 1 }
    precondition(count < Int(UInt32.max) - 1, "a table holds at most 2^32 - 2 values")
    bytes.append(bytes: value)
    offsets.append(UInt64(bytes.count))
    slots[slot] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(count)
    let number = count - 1
    if count * 4 > (mask + 1) * 3 { grow() }
    return number
  }

  /// The slot that holds `value`, or the empty one where it belongs.
  private func probe(_ value: UnsafeRawBufferPointer, _ hash: UInt64) -> Int {
    let slots = slots
    let mask = mask
    var slot = Int(truncatingIfNeeded: hash) & mask
    while true {
      let entry = slots[slot]
      if entry == 0 { return slot }
      if entry >> 32 == hash >> 32, equals(Int(entry & 0xFFFF_FFFF) - 1, value) { return slot }
      slot = (slot + 1) & mask
    }
  }

  private func equals(_ number: Int, _ value: UnsafeRawBufferPointer) -> Bool {
    let start = Int(offsets.base[number])
    guard Int(offsets.base[number + 1]) - start == value.count else { return false }
    let stored = bytes.base + start
    for index in 0..<value.count where stored[index] != value[index] { return false }
    return true
  }

  private func grow() {
    slots.deallocate()
    mask = 2 * mask + 1
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
    for number in 0..<count {
      let hash = Fingerprint.short(value(number))
      var slot = Int(truncatingIfNeeded: hash) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(number + 1)
    }
  }
}
