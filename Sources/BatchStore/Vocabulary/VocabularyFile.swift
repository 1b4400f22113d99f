import Primitives

/// The file of raw values: per table, in row order. Values are bytes, at most 65,535 of them. `Format.md` has the layout.
public enum VocabularyFile {
  public static let fileName = "vocabulary.values"
  static let magic: UInt64 = 0x3142_4143_4F56_4843  // "CHVOCAB1"
  static let version: UInt32 = 1
  static let headerBytes = 56
  static let blockBytes = 1 << 16
  static let blockHeaderBytes = 8
  public static let maximumValueBytes = 65_535
  static let maximumNameBytes = 1024

  /// The identity that the end of the file states; that the values have it, only reading all of them shows. Nil if there is none.
  public static func statedIdentity(_ path: String) throws -> String? {
    let file = try File(reading: path)
    let size = try file.size()
    guard size >= headerBytes + blockHeaderBytes + 32 else { return nil }
    let bytes = GrowableBuffer<UInt8>()
    try file.read(at: size - 32, into: bytes.extend(by: 32), count: 32)
    return String(validating: bytes.bytes, as: UTF8.self)
  }

  /// Reads the whole file into a `Vocabulary`; memory by distinct values.
  public static func load(_ path: String) throws -> Vocabulary {
    let reader = try VocabularyReader(path)
    var tables: [TableLayout] = []
    var values: [ValueTable] = []
    while let table = try reader.nextTable() {
      let column = ValueTable()
      while let value = try reader.nextValue() {
        let known = column.count
        guard column.intern(value) == known else {
          throw ChanterError(
            .corrupt, "a value occurs twice in table \(table.name); restore the file", path: path)
        }
      }
      tables.append(table)
      values.append(column)
    }
    return Vocabulary(
      tables: tables, identity: try reader.finish(), parent: reader.parent, hashRows: reader.hashRows,
      values: values)
  }
}

/// The identity of a vocabulary, fed in the order of the file.
struct VocabularyIdentity: ~Copyable {
  private var fingerprint = Fingerprint()
  /// What is to be fed next: one call for many values, since a call costs as much as a value.
  private let pending = GrowableBuffer<UInt8>(capacity: VocabularyFile.blockBytes)

  init(parent: String?, hashRows: Int?) {
    fingerprint.update("chanter vocabulary 1")
    fingerprint.update(parent ?? "none")
    if let hashRows { fingerprint.update(UInt64(hashRows)) }
  }

  mutating func beginTable(_ table: TableLayout) {
    var name = table.name
    pending.append(integer: UInt64(name.utf8.count))
    name.withUTF8 { pending.append(bytes: UnsafeRawBufferPointer($0)) }
    pending.append(integer: UInt64(table.rows))
  }

  mutating func add(_ value: UnsafeRawBufferPointer) {
    pending.append(integer: UInt64(value.count))
    pending.append(bytes: value)
    if pending.count >= VocabularyFile.blockBytes { flush() }
  }

  private mutating func flush() {
    fingerprint.update(pending.bytes)
    pending.removeAll()
  }

  var hex: String {
    mutating get {
      flush()
      return fingerprint.hex
    }
  }
}
