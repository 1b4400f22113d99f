/// The name of one row: its table in the high 32 bits, its row number in the low 32.
///
/// A plain integer, so that arrays of keys are flat, sort by (table, row), and go through radix sorts unchanged.
public typealias RowKey = UInt64

extension RowKey {
  @inlinable @inline(__always)
  public init(table: Int, row: UInt32) {
    self = UInt64(truncatingIfNeeded: table) << 32 | UInt64(row)
  }

  @inlinable @inline(__always)
  public var table: Int { Int(truncatingIfNeeded: self >> 32) }

  @inlinable @inline(__always)
  public var row: UInt32 { UInt32(truncatingIfNeeded: self) }
}
