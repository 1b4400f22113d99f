/// The code of a next use: a distance in batches in 16 bits.
///
/// Distances up to 32,767 are exact. Beyond, a code is a float of 11 bits after the leading one and a 4-bit
/// exponent, rounded down: the decoded distance is at most 1/2,048 too small. Everything from 4,095 * 2^19 (about
/// 2.1 billion) on is that one value. Codes order as the distances do, and 0 means that the row is never read again.
public enum NextUse {
  private static let exactLimit = 1 << 15
  private static let mantissaBits = 11
  private static let largest = 4095 << 19

  /// - Parameter distance: batches from this use to the next, at least 1, or 0 for never.
  @inlinable @inline(__always)
  public static func encode(distance: Int) -> UInt16 {
    if distance < 1 << 15 { return UInt16(truncatingIfNeeded: max(0, distance)) }
    return encodeFar(distance)
  }

  @usableFromInline static func encodeFar(_ distance: Int) -> UInt16 {
    let value = min(distance, largest)
    let exponent = Int.bitWidth - 1 - value.leadingZeroBitCount - 15
    let mantissa = (value >> (exponent + 15 - mantissaBits)) & (1 << mantissaBits - 1)
    return UInt16(truncatingIfNeeded: exactLimit + exponent << mantissaBits + mantissa)
  }

  /// The distance in batches that `code` stands for; 0 for never.
  @inlinable @inline(__always)
  public static func distance(_ code: UInt16) -> Int {
    let code = Int(code)
    if code < 1 << 15 { return code }
    return (1 << 11 + (code & 2047)) << (((code >> 11) & 15) + 4)
  }
}
