public import Primitives

/// The raw values of every table in memory: value to row, exactly. Immutable once made.
///
/// Rows 0 (unseen or rare) and 1 (empty) stand for no value; the value with number n of a table has row n + 2.
public final class Vocabulary: @unchecked Sendable {
  // Unchecked Sendable: the value tables are only read after the initializer.
  public static let unseenRow: UInt32 = 0
  public static let emptyRow: UInt32 = 1
  public static let reservedRows = 2

  public let tables: [TableLayout]
  /// Fingerprint of the parent's identity, the names and the values in row order.
  public let identity: String
  /// Identity of the vocabulary that this one extends, if any.
  public let parent: String?
  /// How many buckets values are hashed to, which then stand for them; nil for exact values.
  public let hashRows: Int?
  private let values: [ValueTable]

  init(
    tables: [TableLayout], identity: String, parent: String?, hashRows: Int?, values: [ValueTable]
  ) {
    self.tables = tables
    self.identity = identity
    self.parent = parent
    self.hashRows = hashRows
    self.values = values
  }

  /// The row of `value` in table number `table`: row 1 for no bytes, row 0 for a value that is not there.
  public func lookup(table: Int, _ value: UnsafeRawBufferPointer) -> UInt32 {
    if value.isEmpty { return Self.emptyRow }
    let found =
      if let hashRows { HashedValue.with(value, of: hashRows) { values[table].find($0) } } else {
        values[table].find(value)
      }
    guard let number = found else { return Self.unseenRow }
    return UInt32(truncatingIfNeeded: number + Self.reservedRows)
  }

  /// The raw value of a row, or nil for the two reserved rows and beyond the table.
  public func value(table: Int, row: UInt32) -> UnsafeRawBufferPointer? {
    let number = Int(row) - Self.reservedRows
    guard number >= 0, number < values[table].count else { return nil }
    return values[table].value(number)
  }
}
