import BatchStore
import Primitives

/// The raw values of a model's or dataset's rows from its vocabulary file, table after table, each in row order. Memory for
/// two of the file's blocks.
final class TableValues {
  private let reader: VocabularyReader
  /// The row whose value was read last, and that value.
  private var row = UInt32(Vocabulary.reservedRows) - 1
  private var current: UnsafeRawBufferPointer?

  /// How many buckets the values were hashed to, which then stand for them; nil for the values themselves.
  var hashRows: Int? { reader.hashRows }

  init(_ path: String) throws { reader = try VocabularyReader(path) }

  /// Goes on to the next table, past what is left of the one before.
  func beginTable() throws {
    try skipValues()
    guard try reader.nextTable() != nil else {
      throw ChanterError(
        .corrupt, "the vocabulary has fewer tables than what it belongs to; restore the right file",
        path: reader.path)
    }
    row = UInt32(Vocabulary.reservedRows) - 1
    current = nil
  }

  /// The value of a row of the table, or nil for one that has none. Rows must ascend; valid until the next call.
  func value(of wanted: UInt32) throws -> UnsafeRawBufferPointer? {
    while row < wanted {
      guard try advance() else { return nil }
    }
    return row == wanted ? current : nil
  }

  /// The next values of the table, as many as `bytes` hold, at least one; nil at its end.
  func next(bytes: Int) throws -> (firstRow: UInt32, values: ValueTable)? {
    let values = ValueTable()
    let firstRow = row + 1
    while values.count == 0 || values.bytes(adding: 1, valueBytes: VocabularyFile.maximumValueBytes) <= bytes
    {
      guard try advance(), let current else { break }
      _ = values.intern(current)
    }
    return values.count > 0 ? (firstRow, values) : nil
  }

  /// Reads what is left and throws unless all of it was the vocabulary of this identity.
  func finish(identity: String) throws {
    try skipValues()
    while try reader.nextTable() != nil { try skipValues() }
    guard try reader.finish() == identity else {
      throw ChanterError(
        .mismatch, "this vocabulary belongs to another model or dataset; restore the right file",
        path: reader.path)
    }
  }

  private func skipValues() throws {
    while try reader.nextValue() != nil {}
  }

  private func advance() throws -> Bool {
    guard let value = try reader.nextValue() else { return false }
    current = value
    row += 1
    return true
  }
}
