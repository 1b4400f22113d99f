import BatchStore
import Primitives

/// A column of values as a vocabulary of hashed values sees it: each is the number of its bucket in decimal digits.
final class HashedColumn {
  /// Digits of 2^32.
  private static let digits = 10
  private let buckets: Int
  private var text = AlignedBuffer<UInt8>(count: 0)
  private var starts = AlignedBuffer<UInt32>(count: 0)
  private var lengths = AlignedBuffer<UInt16>(count: 0)
  private var hashes = AlignedBuffer<UInt64>(count: 0)

  init(buckets: Int) { self.buckets = buckets }

  /// The most memory of one.
  static func bytes(values: Int) -> Int { values * (digits + 4 + 2 + 8) }

  /// The buckets of a column; valid until the next call. Empty values stay empty.
  func fill(_ column: ValueColumn) -> ValueColumn {
    if column.count > starts.count {
      text = AlignedBuffer(count: column.count * Self.digits)
      starts = AlignedBuffer(count: column.count)
      lengths = AlignedBuffer(count: column.count)
      hashes = AlignedBuffer(count: column.count)
    }
    for use in 0..<column.count {
      let target = text.base + use * Self.digits
      let length =
        column.lengths[use] == 0
        ? 0 : HashedValue.write(HashedValue.bucket(column.hashes[use], of: buckets), to: target)
      starts.base[use] = UInt32(use * Self.digits)
      lengths.base[use] = UInt16(length)
      hashes.base[use] = Fingerprint.short(UnsafeRawBufferPointer(start: target, count: length))
    }
    return ValueColumn(
      text: text.base, starts: starts.base, lengths: lengths.base, hashes: hashes.base, count: column.count)
  }
}
