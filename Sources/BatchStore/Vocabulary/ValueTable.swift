import CSupport
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// One categorical column of parsed text: value i lies at `text + starts[i]`, and 0 bytes are the empty value.
public struct ValueColumn {
  public let text: UnsafePointer<UInt8>
  public let starts: UnsafePointer<UInt32>
  public let lengths: UnsafePointer<UInt16>
  /// `Fingerprint.short` of each value.
  public let hashes: UnsafePointer<UInt64>
  public let count: Int

  public init(
    text: UnsafePointer<UInt8>, starts: UnsafePointer<UInt32>, lengths: UnsafePointer<UInt16>,
    hashes: UnsafePointer<UInt64>, count: Int
  ) {
    self.text = text
    self.starts = starts
    self.lengths = lengths
    self.hashes = hashes
    self.count = count
  }

  public func value(_ position: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: text + Int(starts[position]), count: Int(lengths[position]))
  }

  /// Bytes of all values.
  public var valueBytes: Int {
    var total = 0
    for position in 0..<count { total &+= Int(lengths[position]) }
    return total
  }
}

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
  /// The bits of a hash that are used: all, but in tests that want values to have equal ones.
  private let hashBits: UInt64

  public convenience init() { self.init(hashBits: .max) }

  package init(hashBits: UInt64) {
    self.hashBits = hashBits
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
    find(value, hash: Fingerprint.short(value))
  }

  @inline(__always)
  private func find(_ value: UnsafeRawBufferPointer, hash: UInt64) -> Int? {
    let hash = hash & hashBits
    let slot = probe(value, hash)
    return slots[slot] == 0 ? nil : Int(slots[slot] & 0xFFFF_FFFF) - 1
  }

  /// The number of `value`; a new one gets the next, which is `count` before the call.
  public func intern(_ value: UnsafeRawBufferPointer) -> Int {
    intern(value, hash: Fingerprint.short(value))
  }

  /// The most memory that it takes while `extra` values of `valueBytes` each are added.
  public func bytes(adding extra: Int, valueBytes: Int) -> Int {
    var slotCount = mask + 1
    while (count + extra) * 4 > slotCount * 3 { slotCount *= 2 }
    return bytes.bytes(adding: extra * valueBytes) + offsets.bytes(adding: extra) + 8 * slotCount
  }

  /// Numbers a whole column: the row of value i is its number + 2, or `Vocabulary.emptyRow`.
  /// - Parameter addingNew: whether a new value gets a number; else its row is `Vocabulary.unseenRow`.
  public func intern(_ column: ValueColumn, addingNew: Bool, into rows: UnsafeMutablePointer<UInt32>) {
    let (text, starts, lengths, hashes) = (column.text, column.starts, column.lengths, column.hashes)
    var start = 0
    while start < column.count {
      let end = min(start + Self.lookAhead, column.count)
      if count >= Self.leastToPrefetch { prefetch(hashes, start..<end) }
      for position in start..<end {
        let length = Int(lengths[position])
        if length == 0 {
          rows[position] = Vocabulary.emptyRow
          continue
        }
        let value = UnsafeRawBufferPointer(start: text + Int(starts[position]), count: length)
        let hash = hashes[position]
        guard let number = addingNew ? intern(value, hash: hash) : find(value, hash: hash) else {
          rows[position] = Vocabulary.unseenRow
          continue
        }
        rows[position] = UInt32(truncatingIfNeeded: number + Vocabulary.reservedRows)
      }
      start = end
    }
  }

  /// Values whose memory is asked for before the first of them is looked at.
  private static let lookAhead = 32
  /// A table with fewer values lies in the cache anyway.
  private static let leastToPrefetch = 1 << 14

  /// Asks for the slots of some values, then for what the slots point to: a large table costs three cache misses a
  /// value, which here overlap.
  private func prefetch(_ hashes: UnsafePointer<UInt64>, _ range: Range<Int>) {
    let slots = slots
    let mask = mask
    for position in range { chanter_prefetch(slots + (Int(truncatingIfNeeded: hashes[position]) & mask)) }
    let offsets = offsets.base
    for position in range {
      let entry = slots[Int(truncatingIfNeeded: hashes[position]) & mask]
      if entry >> 32 == hashes[position] >> 32 { chanter_prefetch(offsets + Int(entry & 0xFFFF_FFFF)) }
    }
    let bytes = bytes.base
    for position in range {
      let entry = slots[Int(truncatingIfNeeded: hashes[position]) & mask]
      if entry != 0, entry >> 32 == hashes[position] >> 32 {
        chanter_prefetch(bytes + Int(offsets[Int(entry & 0xFFFF_FFFF) - 1]))
      }
    }
  }

  @inline(__always)
  private func intern(_ value: UnsafeRawBufferPointer, hash: UInt64) -> Int {
    let hash = hash & hashBits
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
  @inline(__always)
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

  @inline(__always)
  private func equals(_ number: Int, _ value: UnsafeRawBufferPointer) -> Bool {
    let start = Int(offsets.base[number])
    guard Int(offsets.base[number + 1]) - start == value.count else { return false }
    let stored = UnsafeRawPointer(bytes.base + start)
    guard let given = value.baseAddress else { return true }
    if value.count < 8 || value.count > 16 { return memcmp(stored, given, value.count) == 0 }
    // Two loads that may overlap cover 8 to 16 bytes, the usual length.
    let last = value.count - 8
    return stored.loadUnaligned(as: UInt64.self) == given.loadUnaligned(as: UInt64.self)
      && stored.loadUnaligned(fromByteOffset: last, as: UInt64.self)
        == given.loadUnaligned(fromByteOffset: last, as: UInt64.self)
  }

  private func grow() {
    slots.deallocate()
    mask = 2 * mask + 1
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
    for number in 0..<count {
      let hash = Fingerprint.short(value(number)) & hashBits
      var slot = Int(truncatingIfNeeded: hash) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(number + 1)
    }
  }
}
