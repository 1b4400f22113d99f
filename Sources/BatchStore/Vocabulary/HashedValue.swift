import Primitives

/// What stands for a value in a vocabulary of hashed values: its bucket, in decimal digits.
public enum HashedValue {
  /// The bucket of a value.
  /// - Parameters:
  ///   - hash: `Fingerprint.short` of its bytes.
  ///   - buckets: 1 to 2^32 - 1.
  @inline(__always)
  public static func bucket(_ hash: UInt64, of buckets: Int) -> UInt32 {
    // The high half of the product: as even as a remainder, without a division.
    UInt32(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(buckets)).high)
  }

  /// Writes the digits of `bucket`, at most ten.
  /// - Returns: how many.
  public static func write(_ bucket: UInt32, to target: UnsafeMutablePointer<UInt8>) -> Int {
    var length = 1
    var bound: UInt64 = 10
    while UInt64(bucket) >= bound {
      length += 1
      bound *= 10
    }
    var rest = bucket
    for position in (0..<length).reversed() {
      target[position] = 48 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    return length
  }

  /// Calls `body` with the digits of the bucket of `value`.
  static func with<Result>(
    _ value: UnsafeRawBufferPointer, of buckets: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 10) { digits in
      guard let base = digits.baseAddress else { preconditionFailure("ten bytes have an address") }
      let length = write(bucket(Fingerprint.short(value), of: buckets), to: base)
      return try body(UnsafeRawBufferPointer(start: base, count: length))
    }
  }
}
