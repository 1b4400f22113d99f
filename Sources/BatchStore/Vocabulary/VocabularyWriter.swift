public import Primitives

/// Writes a vocabulary file front to back, with memory for one block.
public final class VocabularyWriter {
  private let file: File
  private let block = GrowableBuffer<UInt8>(capacity: VocabularyFile.blockBytes)
  private let frame = GrowableBuffer<UInt8>()
  private var identity: VocabularyIdentity
  private var missing = 0

  /// - Parameters:
  ///   - path: must not exist.
  ///   - tableCount: tables that will follow.
  ///   - parent: identity of the vocabulary that this one extends, 32 hexadecimal digits.
  ///   - hashRows: how many buckets values are hashed to, which then stand for them; nil for exact values.
  public init(_ path: String, tableCount: Int, parent: String? = nil, hashRows: Int? = nil) throws {
    precondition(parent == nil || parent?.utf8.count == 32)
    file = try File(creating: path)
    identity = VocabularyIdentity(parent: parent, hashRows: hashRows)
    frame.append(integer: VocabularyFile.magic)
    frame.append(integer: VocabularyFile.version)
    frame.append(integer: UInt32(tableCount))
    var name = parent ?? String(repeating: "0", count: 32)
    name.withUTF8 { frame.append(bytes: UnsafeRawBufferPointer($0)) }
    frame.append(integer: UInt32(hashRows ?? 0))
    frame.appendChecksum(from: 0)
    try file.write(frame.bytes)
  }

  /// Starts a table; `table.rows - 2` values must follow.
  public func beginTable(_ table: TableLayout) throws {
    var name = table.name
    guard missing == 0, name.utf8.count <= VocabularyFile.maximumNameBytes, table.rows >= 2 else {
      throw ChanterError(.broken, "table \(table.name) cannot follow in the vocabulary")
    }
    missing = Int(table.rows) - Vocabulary.reservedRows
    identity.beginTable(table)
    block.append(integer: UInt16(name.utf8.count))
    name.withUTF8 { block.append(bytes: UnsafeRawBufferPointer($0)) }
    block.append(integer: table.rows)
    try flush(atLeast: VocabularyFile.blockBytes)
  }

  /// Adds the value of the next row of the table.
  public func append(_ value: UnsafeRawBufferPointer) throws {
    guard missing > 0, !value.isEmpty, value.count <= VocabularyFile.maximumValueBytes else {
      throw ChanterError(.broken, "a value of \(value.count) bytes cannot follow in the vocabulary")
    }
    missing -= 1
    identity.add(value)
    block.append(integer: UInt16(value.count))
    block.append(bytes: value)
    try flush(atLeast: VocabularyFile.blockBytes)
  }

  /// Ends the file and returns the identity.
  public func finish() throws -> String {
    guard missing == 0 else { throw ChanterError(.broken, "\(missing) values are missing in the vocabulary") }
    try flush(atLeast: 1)
    var hex = identity.hex
    hex.withUTF8 { block.append(bytes: UnsafeRawBufferPointer($0)) }
    frame.removeAll()
    frame.append(integer: UInt32(0))
    frame.append(integer: CRC32C.checksum(block.bytes))
    frame.append(bytes: block.bytes)
    try file.write(frame.bytes)
    try file.synchronize()
    return hex
  }

  private func flush(atLeast bytes: Int) throws {
    guard block.count >= bytes else { return }
    frame.removeAll()
    frame.append(integer: UInt32(block.count))
    frame.append(integer: CRC32C.checksum(block.bytes))
    try file.write(frame.bytes)
    try file.write(block.bytes)
    block.removeAll()
  }
}
