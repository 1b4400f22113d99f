/// Counter-based random numbers: each value is a pure function of a key and a counter, with no state to save,
/// so any value can be had again in any order, on any thread and after any interruption.
///
/// The mixer is the 64-bit finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), applied to the counter
/// after each part of the key was folded in.
public struct CounterRandom: Sendable {
  @usableFromInline let key: UInt64

  /// - Parameters:
  ///   - seed: the user's seed.
  ///   - stream: what the numbers are for, so that two uses of one seed stay independent.
  @inlinable
  public init(seed: UInt64, stream: UInt64) {
    key = Self.mix(Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15) ^ Self.mix(stream &* 0xD6E8_FEB8_6659_FD93 &+ 1))
  }

  /// A generator for one part of this stream (a table, a row, a sample).
  @inlinable
  public init(_ parent: CounterRandom, _ part: UInt64) {
    key = Self.mix(parent.key ^ Self.mix(part &+ 0x9E37_79B9_7F4A_7C15))
  }

  @inlinable @inline(__always)
  static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// 64 random bits for `counter`.
  @inlinable @inline(__always)
  public func bits(_ counter: UInt64) -> UInt64 {
    Self.mix(key &+ (counter &+ 1) &* 0x9E37_79B9_7F4A_7C15)
  }

  /// Uniform in [0, 1), 53 bits.
  @inlinable @inline(__always)
  public func uniform(_ counter: UInt64) -> Double {
    Double(bits(counter) >> 11) * 0x1p-53
  }

  /// Uniform integer in 0 ..< bound (multiply-shift; the bias is below bound / 2^64).
  @inlinable @inline(__always)
  public func below(_ bound: UInt64, _ counter: UInt64) -> UInt64 {
    bits(counter).multipliedFullWidth(by: bound).high
  }
}
