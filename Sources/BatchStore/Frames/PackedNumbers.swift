import Primitives

/// Numbers below 2^32 in few bits: of each its lowest bits; then a bit for each that has more, and what these have.
///
/// Almost all numbers of a batch are small, for rows are numbered by frequency, and few are large. The lowest bits have
/// a width that needs no shifting across bytes, so that all but the few are unpacked by plain loops. `Format.md` has the layout.
enum PackedNumbers {
  /// Widths of the lowest bits by their code in the head byte. Do not renumber.
  private static let lowWidths = [0, 1, 2, 4, 8, 16, 32]
  /// In the head byte the width of the rest follows the three bits of the code.
  private static let codeBits = 3
  private static let largestHighWidth = 31

  /// Beside the head, numbers of at most 8, 16 or 32 bits take no more bytes than as plain ones of that width.
  static let headBytes = 1

  // MARK: Writing

  /// Appends the numbers less `base`, in the form that takes the fewest bytes.
  static func append(
    _ values: UnsafePointer<UInt32>, count: Int, minus base: UInt32 = 0, to target: GrowableBuffer<UInt8>
  ) {
    let (code, high) = widths(values, count, base)
    let low = lowWidths[code]
    target.append(UInt8(code | high << codeBits))
    appendLow(values, count, base, width: low, to: target)
    guard high > 0 else { return }
    let bits = target.extend(by: FrameShape.bitBytes(count))
    bits.initialize(repeating: 0, count: FrameShape.bitBytes(count))
    var large = 0
    for index in 0..<count where (values[index] &- base) >> UInt32(low) != 0 {
      bits[index >> 3] |= 1 << UInt8(index & 7)
      large += 1
    }
    var out = target.extend(by: FrameShape.bitBytes(large * high))
    var pending: UInt64 = 0
    var pendingBits = 0
    for index in 0..<count {
      let rest = (values[index] &- base) >> UInt32(low)
      if rest == 0 { continue }
      pending |= UInt64(rest) << UInt64(pendingBits)
      pendingBits += high
      while pendingBits >= 8 {
        out.pointee = UInt8(truncatingIfNeeded: pending)
        out += 1
        pending >>= 8
        pendingBits -= 8
      }
    }
    if pendingBits > 0 { out.pointee = UInt8(truncatingIfNeeded: pending) }
  }

  /// The code of the low width and the high width of the smallest form; of equal ones that with the fewest high parts.
  private static func widths(_ values: UnsafePointer<UInt32>, _ count: Int, _ base: UInt32) -> (
    code: Int, high: Int
  ) {
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 34) { larger in
      // Of each width how many numbers need more.
      larger.initialize(repeating: 0)
      for index in 0..<count { larger[32 - (values[index] &- base).leadingZeroBitCount] += 1 }
      var width = 0
      var sum = 0
      for bits in (0...32).reversed() {
        let here = larger[bits]
        larger[bits] = sum
        sum += here
        if width == 0, here > 0 { width = bits }
      }
      var best = (code: 0, high: 0)
      var least = Int.max
      for (code, low) in lowWidths.enumerated() {
        let high = max(0, width - low)
        guard high <= largestHighWidth else { continue }
        let rest = high == 0 ? 0 : FrameShape.bitBytes(count) + FrameShape.bitBytes(larger[low] * high)
        let bytes = FrameShape.bitBytes(count * low) + rest
        if bytes <= least {
          least = bytes
          best = (code, high)
        }
        if high == 0 { break }
      }
      return best
    }
  }

  private static func appendLow(
    _ values: UnsafePointer<UInt32>, _ count: Int, _ base: UInt32, width: Int,
    to target: GrowableBuffer<UInt8>
  ) {
    let out = target.extend(by: FrameShape.bitBytes(count * width))
    switch width {
    case 0: break
    case 8: for index in 0..<count { out[index] = UInt8(truncatingIfNeeded: values[index] &- base) }
    case 16, 32:
      let bytes = width / 8
      for index in 0..<count {
        var value = values[index] &- base
        for byte in 0..<bytes {
          out[index * bytes + byte] = UInt8(truncatingIfNeeded: value)
          value >>= 8
        }
      }
    default:
      out.initialize(repeating: 0, count: FrameShape.bitBytes(count * width))
      let mask = UInt32(1) << UInt32(width) - 1
      for index in 0..<count {
        let low = UInt8(truncatingIfNeeded: (values[index] &- base) & mask)
        out[(index * width) >> 3] |= low << UInt8(index * width & 7)
      }
    }
  }

  // MARK: Reading

  /// Reads `count` numbers, adds `base` to each, and puts them into `target`. What they may be is the caller's to check.
  static func read(
    _ cursor: inout ByteCursor, count: Int, plus base: UInt32 = 0, into target: UnsafeMutablePointer<UInt32>
  ) throws {
    let head = Int(try cursor.integer(UInt8.self))
    let code = head & (1 << codeBits - 1)
    let high = head >> codeBits
    guard code < lowWidths.count, lowWidths[code] + high <= 32 else {
      throw cursor.corrupt("packed numbers have an impossible width")
    }
    let low = lowWidths[code]
    readLow(try cursor.take(FrameShape.bitBytes(count * low)), count, base, width: low, into: target)
    if high > 0 { try readHigh(&cursor, count, low: low, high: high, into: target) }
  }

  private static func readLow(
    _ source: UnsafeRawPointer, _ count: Int, _ base: UInt32, width: Int,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    let bytes = source.assumingMemoryBound(to: UInt8.self)
    switch width {
    case 0: target.update(repeating: base, count: count)
    case 1: unpack(bytes, count, base, width: 1, into: target)
    case 2: unpack(bytes, count, base, width: 2, into: target)
    case 4: unpack(bytes, count, base, width: 4, into: target)
    case 8: for index in 0..<count { target[index] = UInt32(bytes[index]) &+ base }
    case 16:
      for index in 0..<count {
        let value = (source + 2 &* index).loadUnaligned(as: UInt16.self)
        target[index] = UInt32(UInt16(littleEndian: value)) &+ base
      }
    default:
      for index in 0..<count {
        let value = (source + 4 &* index).loadUnaligned(as: UInt32.self)
        target[index] = UInt32(littleEndian: value) &+ base
      }
    }
  }

  /// Several numbers from each byte; `width` is a constant where this is called.
  @inline(__always)
  private static func unpack(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ base: UInt32, width: Int,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    let each = 8 / width
    let mask = UInt32(1) << UInt32(width) - 1
    let whole = count / each
    for byte in 0..<whole {
      let value = UInt32(bytes[byte])
      for place in 0..<each {
        target[byte &* each &+ place] = (value >> UInt32(place &* width)) & mask &+ base
      }
    }
    for index in whole * each..<count {
      target[index] = (UInt32(bytes[whole]) >> UInt32((index - whole * each) * width)) & mask &+ base
    }
  }

  /// Adds the higher bits of those numbers that have any.
  private static func readHigh(
    _ cursor: inout ByteCursor, _ count: Int, low: Int, high: Int, into target: UnsafeMutablePointer<UInt32>
  ) throws {
    let bits = try cursor.take(FrameShape.bitBytes(count))
    // Eight bytes of bits at a time; those beyond the last number are not there.
    let words = (count + 63) / 64
    func word(_ number: Int) -> UInt64 {
      if 64 * (number + 1) <= count {
        return UInt64(littleEndian: (bits + 8 &* number).loadUnaligned(as: UInt64.self))
      }
      var value: UInt64 = 0
      for byte in 0..<FrameShape.bitBytes(count - 64 * number) {
        value |= UInt64((bits + 8 * number + byte).load(as: UInt8.self)) << UInt64(8 * byte)
      }
      return value & (1 << UInt64(count - 64 * number) - 1)
    }
    var large = 0
    for number in 0..<words { large += word(number).nonzeroBitCount }
    let sourceBytes = FrameShape.bitBytes(large * high)
    let source = try cursor.take(sourceBytes)
    // Where a load of eight bytes stays in the record.
    let lastLoad = sourceBytes + cursor.remaining - 8
    let mask = UInt64(1) << UInt64(high) - 1
    var bit = 0
    for number in 0..<words {
      var set = word(number)
      let place = target + 64 &* number
      while set != 0 {
        let index = set.trailingZeroBitCount
        set &= set &- 1
        let byte = bit >> 3
        var value: UInt64
        if byte <= lastLoad {
          value = UInt64(littleEndian: (source + byte).loadUnaligned(as: UInt64.self))
        } else {
          value = 0
          for next in byte..<min(byte + 5, sourceBytes) {
            value |= UInt64((source + next).load(as: UInt8.self)) << UInt64(8 * (next - byte))
          }
        }
        value = (value >> UInt64(bit & 7)) & mask
        place[index] = place[index] &+ UInt32(truncatingIfNeeded: value) << UInt32(low)
        bit += high
      }
    }
  }

  /// Reads `count` numbers of which the distance to the one before is stored, at least 1, and of the first the number itself.
  /// - Returns: the last one, 0 if there is none; nil if they do not ascend, or not below 2^32.
  static func readAscending(
    _ cursor: inout ByteCursor, count: Int, into target: UnsafeMutablePointer<UInt32>
  ) throws -> UInt32? {
    try read(&cursor, count: count, into: target)
    // Fewer than 2^32 distances below 2^32: the sum cannot wrap, and it only grows, so the last number says it all.
    var number: UInt64 = 0
    var repeats = false
    for place in 0..<count {
      let distance = target[place]
      repeats = repeats || (distance == 0 && place > 0)
      number &+= UInt64(distance)
      target[place] = UInt32(truncatingIfNeeded: number)
    }
    return repeats ? nil : UInt32(exactly: number)
  }

  /// The largest of `count` numbers less `base`, 0 of none.
  static func largest(_ values: UnsafePointer<UInt32>, _ count: Int, minus base: UInt32 = 0) -> UInt32 {
    var largest: UInt32 = 0
    for index in 0..<count { largest = max(largest, values[index] &- base) }
    return largest
  }
}
