import BatchStore
import Primitives

/// The vocabulary of a dataset that is extended: its values keep their rows.
struct ParentVocabulary {
  let identity: String
  private let path: String
  private let tables: [TableLayout]

  /// - Parameter hashRows: what the command asks for; must be what the dataset was made with.
  init(_ dataset: Dataset, hashRows: Int?) throws {
    guard dataset.manifest.hasVocabulary else {
      throw ChanterError(
        .badInput, "this dataset has no vocabulary to extend: it was written from row numbers",
        path: dataset.path)
    }
    identity = dataset.manifest.vocabularyIdentity
    path = dataset.vocabularyPath
    tables = dataset.manifest.tables
    let reader = try VocabularyReader(path)
    guard reader.hashRows == hashRows else {
      let how = reader.hashRows.map { "--hash-rows \($0)" } ?? "exact values"
      throw ChanterError(
        .mismatch, "this dataset was made with \(how); extend it with the same", path: dataset.path)
    }
  }

  /// Rows of a table, the two reserved ones included.
  func rows(_ table: Int) -> Int { Int(tables[table].rows) }

  /// Gives the values of one table after another.
  func reader() throws -> VocabularyReader { try VocabularyReader(path) }

  /// Puts the values into memory, those of each table in row order, as far as `bytes` go.
  func load(into tables: [TableValues], bytes: Int) throws -> Loaded {
    guard tables.map(\.name) == self.tables.map(\.name) else {
      throw ChanterError(.mismatch, "the log has other columns than the dataset that is extended", path: path)
    }
    // Each table gets a share by its rows, so that none is left out.
    let all = self.tables.reduce(0) { $0 + Int($1.rows) }
    let reader = try reader()
    var isComplete = true
    for (table, layout) in zip(tables, self.tables) {
      _ = try reader.nextTable()
      let share = bytes == .max ? .max : Int(Double(bytes) / 2 * Double(layout.rows) / Double(all))
      var hasRoom = true
      while let value = try reader.nextValue() {
        if hasRoom, table.counter.bytes(adding: 1, ofBytes: value.count) > share { hasRoom = false }
        if hasRoom { try table.counter.addKnown(value) } else { isComplete = false }
      }
    }
    guard try reader.finish() == identity else {
      throw ChanterError(
        .mismatch, "this vocabulary belongs to another dataset; restore the right file", path: path)
    }
    return Loaded(parent: self, isComplete: isComplete)
  }

  /// What `load` did.
  struct Loaded {
    fileprivate let parent: ParentVocabulary
    /// Whether all values are in memory.
    let isComplete: Bool

    /// Tells the spilled values of each table the rows of the values that are not in memory.
    func defineRest(in tables: [TableValues]) throws {
      let reader = try parent.reader()
      for table in tables {
        _ = try reader.nextTable()
        var row = UInt32(Vocabulary.reservedRows)
        let first = row + UInt32(table.counter.known)
        while let value = try reader.nextValue() {
          if row >= first { try table.spilled?.define(value, row: row) }
          row += 1
        }
      }
    }
  }
}
