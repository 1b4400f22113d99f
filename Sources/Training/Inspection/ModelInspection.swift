import BatchStore
import Foundation
public import Primitives
public import TableStore

/// What a model holds of one table.
public struct TableContents: Sendable {
  public let name: String
  public let declaredRows: Int
  public internal(set) var blocks = StoredSize(values: 0, bytes: 0)
  /// Rows whose bytes differ from their initial value.
  public internal(set) var changedRows = 0
  /// Of these, rows with a weight or state that is NaN or infinite; their norms are not in `norms`.
  public internal(set) var nonFiniteRows = 0
  /// Euclidean norms of the weights of the changed rows.
  public internal(set) var norms = NormHistogram()
}

/// A row with a number that it was found by: a norm, or a cosine.
public struct ScoredRow: Sendable {
  public let key: RowKey
  public let score: Double
}

public struct RowContents: Sendable {
  public let key: RowKey
  public let weights: [Float]
  public let state: [Float]
  /// Whether training changed it.
  public let isChanged: Bool
  public let norm: Double
}

/// A model opened to look into it, also while a trainer has it open.
///
/// It is read in short transactions, so that the file of a model in training does not grow. Where nothing is committed
/// meanwhile, all answers are of one commit; else each row is that of some commit of the span `commits`.
public final class ModelInspection {
  public let path: String
  public let header: ModelHeader
  public let layout: RowLayout
  /// What was read so far comes from these.
  public private(set) var commits: CommitSpan
  private let store: ModelStore
  /// Called now and then with rows looked at so far and an estimate of all.
  public var progressed: (_ done: Int, _ total: Int) -> Void = { _, _ in }

  public init(_ path: String) throws {
    self.path = path
    store = try ModelStore.openForReading(at: path)
    commits = CommitSpan(try store.readState())
    header = try ModelHeader(store.header, path: path)
    layout = store.layout
  }

  /// One pass over the stored rows of a table, or of all; then the sizes in the file as of the last commit, and the chunks
  /// that no compaction has moved into blocks yet.
  public func contents(of table: Int? = nil) throws -> (tables: [TableContents], chunks: StoredSize) {
    var contents = layout.tables.map { TableContents(name: $0.name, declaredRows: Int($0.rows)) }
    try forEachChangedRow(of: table) { key, row in
      contents[key.table].changedRows += 1
      if (0..<layout.rowFloats).allSatisfy({ row[$0].isFinite }) {
        contents[key.table].norms.add(norm(row))
      } else {
        contents[key.table].nonFiniteRows += 1
      }
    }
    let sizes = try store.storedSizes()
    commits.add(sizes.state)
    for index in contents.indices { contents[index].blocks = sizes.blocks[index] }
    return (table.map { [contents[$0]] } ?? contents, sizes.chunks)
  }

  /// The changed rows with the largest norms; rows with NaN or infinite weights are left out.
  public func largestNorms(of table: Int? = nil, count: Int) throws -> [ScoredRow] {
    var top = TopList<Double>(capacity: count)
    try forEachChangedRow(of: table) { key, row in
      let norm = norm(row)
      if norm.isFinite { top.offer(norm, key) }
    }
    return top.entries.map { ScoredRow(key: $0.key, score: $0.score) }
  }

  public func row(_ key: RowKey) throws -> RowContents {
    let buffer = AlignedBuffer<Float>(count: layout.rowFloats)
    let initial = AlignedBuffer<Float>(count: layout.rowFloats)
    layout.fillInitial(table: key.table, row: key.row, into: initial.base)
    let snapshot = try Snapshot(store)
    commits.add(snapshot.state)
    _ = try withUnsafePointer(to: key) { key in
      try withUnsafePointer(to: UInt32(0)) {
        try snapshot.fetch(keys: key, count: 1, slots: $0, rows: buffer.base)
      }
    }
    return RowContents(
      key: key, weights: Array(buffer.prefix(layout.dimension)),
      state: Array(buffer.prefix()[layout.dimension...]),
      isChanged: !buffer.rawBytes.elementsEqual(initial.rawBytes), norm: norm(buffer.base))
  }

  /// The changed rows of the same table that point in the most similar directions, by an exact scan; the row itself is left out, and
  /// so are rows without a direction: zero, NaN or infinite. Empty if the row itself has none.
  public func neighbours(of row: RowContents, count: Int) throws -> [ScoredRow] {
    guard row.norm > 0, row.norm.isFinite else { return [] }
    var top = TopList<Double>(capacity: count)
    try row.weights.withUnsafeBufferPointer { weights in
      try forEachChangedRow(of: row.key.table) { key, other in
        let otherNorm = norm(other)
        guard key != row.key, otherNorm > 0, otherNorm.isFinite else { return }
        var product = 0.0
        for column in 0..<weights.count { product += Double(weights[column]) * Double(other[column]) }
        top.offer(product / (row.norm * otherNorm), key)
      }
    }
    return top.entries.map { ScoredRow(key: $0.key, score: $0.score) }
  }

  private func forEachChangedRow(
    of table: Int?, _ body: (RowKey, UnsafePointer<Float>) throws -> Void
  ) throws {
    let blocks = try store.storedSizes().blocks
    let estimate =
      (table.map { blocks[$0].values } ?? blocks.reduce(0) { $0 + $1.values }) * layout.rowsPerBlock
    let span = try store.forEachChangedRow(
      of: table, progress: { progressed($0, max($0, estimate)) }, body)
    commits.add(span.first)
    commits.add(span.last)
  }

  private func norm(_ row: UnsafePointer<Float>) -> Double {
    var sum = 0.0
    for column in 0..<layout.dimension { sum += Double(row[column]) * Double(row[column]) }
    return sum.squareRoot()
  }

  // MARK: Raw values, by passes through the vocabulary beside the model

  /// The raw values of rows; empty for a model without a vocabulary.
  public func values(of keys: some Sequence<RowKey>) throws -> [RowKey: [UInt8]] {
    guard let file = VocabularyLink.file(in: path) else { return [:] }
    return try VocabularyFile.values(of: keys, in: file, identity: header.dataset.vocabulary)
  }

  /// The row of a raw value, or nil for a value without one.
  /// - Throws: `.badInput` for a model without a vocabulary.
  public func row(of value: [UInt8], table: Int) throws -> UInt32? {
    guard let file = VocabularyLink.file(in: path) else {
      throw ChanterError(.badInput, "this model has no vocabulary; give --row instead of --value", path: path)
    }
    return try VocabularyFile.row(of: value, table: table, in: file, identity: header.dataset.vocabulary)
  }
}
