/// How far ahead the next use of a row lies, in batches, as 16 bits.
///
/// Exact up to 32,767. Beyond, 4 bits of exponent and 11 of mantissa, rounded down: within 1 part in 2,048. A next
/// use is a hint: it chooses which row leaves the cache first and can never change a result.
public enum NextUse {
  /// No next use is known.
  public static let never: UInt16 = 0
  private static let largestExact = 32_767
  private static let mantissaBits = 11

  /// The code for a distance in batches; 0 or less means never. Distances from 2^31 are stored as the largest code.
  public static func encode(distance: Int) -> UInt16 {
    if distance <= 0 { return never }
    if distance <= largestExact { return UInt16(distance) }
    if distance >= 1 << 31 { return .max }
    // 32,768 is the mantissa 2,048 shifted by 4: exponent 0.
    let shift = (Int.bitWidth - 1 - distance.leadingZeroBitCount) - mantissaBits
    let mantissa = (distance >> shift) - (1 << mantissaBits)
    return UInt16(0x8000 | (shift - 4) << mantissaBits | mantissa)
  }

  /// The distance in batches that `code` stands for, or nil for never.
  @inlinable @inline(__always)
  public static func distance(_ code: UInt16) -> Int? {
    if code == 0 { return nil }
    if code < 0x8000 { return Int(code) }
    let exponent = Int(code >> 11) & 0xF
    return (2048 + Int(code & 0x7FF)) << (exponent + 4)
  }
}
