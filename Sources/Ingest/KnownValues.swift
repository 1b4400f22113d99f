import BatchStore
import Primitives

/// The values of the dataset that is extended, which have rows already.
struct KnownValues {
  private let base: Dataset

  init(_ base: Dataset) { self.base = base }

  /// How often the memory is looked at.
  private static let step = 4096

  /// Puts all values into `tables`, in row order.
  /// - Throws: `.budget` if they do not fit into the share of the memory that values have.
  func load(into tables: [TableValues], memory: PreprocessMemory) throws {
    let manifest = base.manifest
    let reader = try VocabularyReader(base.vocabularyPath)
    var done = 0
    for (table, expected) in zip(tables, manifest.tables) {
      guard try reader.nextTable() == expected, table.name == expected.name else { throw mismatch }
      while let value = try reader.nextValue() {
        guard table.know(value) else {
          throw ChanterError(
            .corrupt, "a value occurs twice in table \(table.name); restore the file", path: reader.path)
        }
        done += 1
        if done % Self.step == 0 { try require(memory, tables, done) }
      }
    }
    guard try reader.nextTable() == nil, try reader.finish() == manifest.vocabularyIdentity else {
      throw mismatch
    }
    try require(memory, tables, done)
  }

  private func require(_ memory: PreprocessMemory, _ tables: [TableValues], _ done: Int) throws {
    let bytes = tables.reduce(0) { $0 + $1.bytes(adding: []) }
    guard bytes > memory.valueBytes else { return }
    let all = base.manifest.tables.reduce(0) { $0 + Int($1.rows) - Vocabulary.reservedRows }
    // Tables double, so that the last step may take as much again.
    let needed = memory.totalBytes(forValues: 2 * Int(Double(bytes) * Double(all) / Double(done)))
    throw ChanterError(
      .budget,
      "--memory has no room for the \(all) values of the dataset that is extended; about \(ByteSize.ceilingMebibytes(needed)) are enough",
      path: base.path)
  }

  private var mismatch: ChanterError {
    ChanterError(
      .mismatch, "the vocabulary belongs to another dataset; restore the right file",
      path: base.vocabularyPath)
  }
}
