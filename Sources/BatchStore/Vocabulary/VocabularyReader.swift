public import Primitives

/// Reads a vocabulary file front to back, with memory for two blocks.
///
/// Call `nextTable` until nil; after each, `nextValue` until nil; then `finish`.
public final class VocabularyReader {
  public let path: String
  public let parent: String?
  /// How many buckets values were hashed to, or nil for exact values.
  public let hashRows: Int?
  private let file: File
  private let size: Int
  private var tablesLeft: Int
  private var valuesLeft = 0
  private var identity: VocabularyIdentity
  private let buffer = GrowableBuffer<UInt8>()
  private var position = 0
  private var offset = VocabularyFile.headerBytes

  public init(_ path: String) throws {
    self.path = path
    file = try File(reading: path)
    size = try file.size()
    let header = GrowableBuffer<UInt8>()
    try file.read(
      at: 0, into: header.extend(by: VocabularyFile.headerBytes), count: VocabularyFile.headerBytes)
    var cursor = ByteCursor(header.bytes, path: path, origin: 0)
    guard try cursor.integer(UInt64.self) == VocabularyFile.magic else {
      throw cursor.corrupt("this is not a vocabulary (wrong magic)")
    }
    let version = try cursor.integer(UInt32.self)
    guard version == VocabularyFile.version else {
      throw ChanterError(
        .unsupported,
        "the vocabulary has format version \(version), this program reads \(VocabularyFile.version)",
        path: path, offset: 8)
    }
    tablesLeft = Int(try cursor.integer(UInt32.self))
    let hex = UnsafeRawBufferPointer(start: try cursor.take(32), count: 32)
    let name = String(decoding: hex, as: UTF8.self)
    parent = name == String(repeating: "0", count: 32) ? nil : name
    let buckets = Int(try cursor.integer(UInt32.self))
    hashRows = buckets == 0 ? nil : buckets
    guard try cursor.checksumMatches(), tablesLeft <= Manifest.maximumTables else {
      throw cursor.corrupt("the header of the vocabulary is damaged")
    }
    identity = VocabularyIdentity(parent: parent, hashRows: hashRows)
  }

  /// The next table, or nil after the last.
  public func nextTable() throws -> TableLayout? {
    guard valuesLeft == 0 else { throw corrupt("values of a table were left unread") }
    guard tablesLeft > 0 else { return nil }
    tablesLeft -= 1
    let length = Int(try integer(UInt16.self))
    guard length <= VocabularyFile.maximumNameBytes else { throw corrupt("the name of a table is too long") }
    let bytes = UnsafeRawBufferPointer(start: try take(length), count: length)
    guard let name = String(validating: bytes, as: UTF8.self) else {
      throw corrupt("the name of a table is not UTF-8")
    }
    let table = TableLayout(name: name, rows: try integer(UInt32.self))
    guard table.rows >= Vocabulary.reservedRows else {
      throw corrupt("table \(name) lacks its reserved rows")
    }
    valuesLeft = Int(table.rows) - Vocabulary.reservedRows
    identity.beginTable(table)
    return table
  }

  /// The value of the next row, valid until the next call; nil at the end of the table.
  public func nextValue() throws -> UnsafeRawBufferPointer? {
    guard valuesLeft > 0 else { return nil }
    valuesLeft -= 1
    let length = Int(try integer(UInt16.self))
    guard length > 0 else { throw corrupt("a value is empty") }
    let value = UnsafeRawBufferPointer(start: try take(length), count: length)
    identity.add(value)
    return value
  }

  /// Checks the end of the file and returns the identity.
  public func finish() throws -> String {
    guard tablesLeft == 0, valuesLeft == 0, position == buffer.count else {
      throw corrupt("the vocabulary has more than its tables say")
    }
    let blockStart = offset
    buffer.removeAll()
    position = 0
    let count = VocabularyFile.blockHeaderBytes + 32
    try file.read(at: offset, into: buffer.extend(by: count), count: count)
    var cursor = ByteCursor(buffer.bytes, path: path, origin: blockStart)
    guard try cursor.integer(UInt32.self) == 0 else {
      throw cursor.corrupt("the end of the vocabulary is damaged")
    }
    let checksum = try cursor.integer(UInt32.self)
    let hex = UnsafeRawBufferPointer(start: try cursor.take(32), count: 32)
    guard checksum == CRC32C.checksum(hex), size == blockStart + count,
      String(decoding: hex, as: UTF8.self) == identity.hex
    else { throw cursor.corrupt("the end of the vocabulary is damaged") }
    return identity.hex
  }

  private func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
    Value(littleEndian: try take(MemoryLayout<Value>.size).loadUnaligned(as: type))
  }

  /// The next `count` bytes of the stream that the blocks make up; at most one value or name long.
  private func take(_ count: Int) throws -> UnsafeRawPointer {
    while buffer.count - position < count { try readBlock() }
    defer { position += count }
    return UnsafeRawPointer(buffer.base + position)
  }

  private func readBlock() throws {
    // What is left of the last block moves to the front; it is shorter than one value.
    let rest = buffer.count - position
    UnsafeMutableRawPointer(buffer.base).copyMemory(from: buffer.base + position, byteCount: rest)
    buffer.truncate(to: rest)
    position = 0
    let header = GrowableBuffer<UInt8>()
    let headerBytes = VocabularyFile.blockHeaderBytes
    try file.read(at: offset, into: header.extend(by: headerBytes), count: headerBytes)
    var cursor = ByteCursor(header.bytes, path: path, origin: offset)
    let count = Int(try cursor.integer(UInt32.self))
    let checksum = try cursor.integer(UInt32.self)
    // A block ends with the value that fills it.
    guard count > 0, count <= VocabularyFile.blockBytes + VocabularyFile.maximumValueBytes + 2 else {
      throw cursor.corrupt("the vocabulary ends too early or is damaged")
    }
    let target = buffer.extend(by: count)
    try file.read(at: offset + headerBytes, into: target, count: count)
    guard checksum == CRC32C.checksum(UnsafeRawBufferPointer(start: target, count: count)) else {
      throw cursor.corrupt("a block of the vocabulary is damaged")
    }
    offset += headerBytes + count
  }

  private func corrupt(_ message: String) -> ChanterError {
    ChanterError(.corrupt, "\(message); restore the file or run preprocess again", path: path, offset: offset)
  }
}
