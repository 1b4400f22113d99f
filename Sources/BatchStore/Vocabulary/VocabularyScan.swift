public import Primitives

extension VocabularyFile {
  /// The raw values of some rows, by one pass through the file: memory for these values and no others.
  ///
  /// - Parameters:
  ///   - identity: of the vocabulary that the file must hold.
  ///   - progress: called now and then with the number of values read so far.
  /// - Returns: no entry for a reserved row, and for one beyond its table.
  /// - Throws: `.mismatch` for another vocabulary, `.corrupt` for a damaged one.
  public static func values(
    of keys: some Sequence<RowKey>, in path: String, identity: String, progress: (Int) -> Void = { _ in }
  ) throws -> [RowKey: [UInt8]] {
    let wanted = Set(keys)
    var found: [RowKey: [UInt8]] = [:]
    try scan(path, identity: identity, progress) { key, value in
      if wanted.contains(key) { found[key] = Array(value) }
    }
    return found
  }

  /// The row of a raw value, or nil for a value that has none. One pass through the file.
  public static func row(
    of value: [UInt8], table: Int, in path: String, identity: String, progress: (Int) -> Void = { _ in }
  ) throws -> UInt32? {
    if value.isEmpty { return Vocabulary.emptyRow }
    var value = value
    if let hashRows = try VocabularyReader(path).hashRows {
      value = value.withUnsafeBytes { HashedValue.with($0, of: hashRows) { Array($0) } }
    }
    var row: UInt32?
    try scan(path, identity: identity, progress) { key, stored in
      if key.table == table, stored.elementsEqual(value) { row = key.row }
    }
    return row
  }

  private static func scan(
    _ path: String, identity: String, _ progress: (Int) -> Void,
    _ body: (RowKey, UnsafeRawBufferPointer) -> Void
  ) throws {
    let reader = try VocabularyReader(path)
    let reportEvery = 1 << 16
    var table = 0
    var count = 0
    while try reader.nextTable() != nil {
      var row = UInt32(Vocabulary.reservedRows)
      while let value = try reader.nextValue() {
        body(RowKey(table: table, row: row), value)
        row &+= 1
        count += 1
        if count % reportEvery == 0 { progress(count) }
      }
      table += 1
    }
    guard try reader.finish() == identity else {
      throw ChanterError(
        .mismatch, "this vocabulary belongs to another dataset or model; restore the right file", path: path)
    }
  }
}
