public import Primitives

extension Snapshot {
  /// Calls `body` with every row of every block in which some row was ever committed, once each, in ascending
  /// (table, row) order, with its newest value (`rowFloats` floats, valid during the call). Rows that lie in such a block but
  /// were never written come with their initial value.
  ///
  /// Bounded memory: one block, 16 bytes for each of 1,024 blocks read ahead, about 100 bytes for each commit that has
  /// chunks.
  /// - Parameter table: the one table to go through; nil for all.
  public func forEachStoredRow(
    of table: Int? = nil, _ body: (RowKey, UnsafePointer<Float>) throws -> Void
  ) throws {
    try forEachStoredBlock(of: table) { try store.forEachRow(of: $0, in: $1, body) }
  }

  /// Like `forEachStoredRow`, but only the rows whose bytes differ from their initial value.
  /// - Parameter progress: called now and then with the number of rows looked at so far.
  public func forEachChangedRow(
    of table: Int? = nil, progress: (Int) -> Void = { _ in },
    _ body: (RowKey, UnsafePointer<Float>) throws -> Void
  ) throws {
    let initial = InitialRows(store.layout)
    var rowCount = 0
    let reportEvery = 1 << 16
    try forEachStoredRow(of: table) { key, row in
      if !initial.contains(key, row) { try body(key, row) }
      rowCount += 1
      if rowCount % reportEvery == 0 { progress(rowCount) }
    }
  }

  /// The digest of this state; see `ModelDigest`.
  /// - Parameter progress: called now and then with the number of rows looked at so far.
  public func digest(progress: (Int) -> Void = { _ in }) throws -> String {
    var digest = ModelDigest(layout: store.layout)
    var rowCount = 0
    let reportEvery = 1 << 20
    try forEachStoredRow { key, row in
      digest.add(key, row)
      rowCount += 1
      if rowCount % reportEvery == 0 { progress(rowCount) }
    }
    let dense = AlignedBuffer<UInt8>(count: state.denseBytes)
    try readDense(into: UnsafeMutableRawBufferPointer(dense.prefix()))
    progress(rowCount)
    return digest.finish(dense: dense.rawBytes, cursor: state.cursor)
  }

  /// Calls `body` with each block in ascending order: its bytes with the newest rows in them and a seal that does not fit
  /// any more.
  /// - Parameter table: the one table to go through; nil for all.
  func forEachStoredBlock(
    of table: Int? = nil, _ body: (RowKey, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let buffer = AlignedBuffer<UInt8>(count: store.geometry.blockBytes)
    let bytes = UnsafeMutableRawBufferPointer(start: buffer.base, count: store.geometry.blockBytes)
    let tables = store.range(of: table)
    var blocks = try StoredBlocks(
      store, transaction: transaction.handle, tables: tables,
      from: RowKey(table: tables.lowerBound, row: 0))
    while let block = try blocks.next(into: bytes) { try body(block, bytes) }
  }
}
