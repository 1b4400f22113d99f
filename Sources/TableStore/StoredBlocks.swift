import Primitives

/// Merges the stored blocks of one read transaction with its chunks: every block in which some row was ever committed,
/// once, in ascending order.
///
/// Holds 16 bytes for each of 1,024 blocks read ahead and about 100 bytes for each commit that has chunks.
struct StoredBlocks: ~Copyable {
  private let store: ModelStore
  private let tables: Range<Int>
  private var merge: ChunkMerge
  private var scan: BlockScan

  /// - Parameters:
  ///   - tables: those to go through; the others are skipped.
  ///   - first: the block to begin at, stored or not.
  init(_ store: ModelStore, transaction: OpaquePointer, tables: Range<Int>, from first: RowKey) throws {
    self.store = store
    self.tables = tables
    let firstRow = RowKey(table: first.table, row: store.geometry.rows(of: first).lowerBound)
    let runs = try store.chunkRuns(transaction, through: .max)
    merge = try ChunkMerge(store, transaction: transaction, runs: runs, from: firstRow)
    scan = BlockScan(
      store, transaction: transaction,
      skippedTables: Set(store.layout.tables.indices.filter { !tables.contains($0) }), from: first)
  }

  /// Fills `bytes` (`blockBytes` of them) with the next block, the newest rows in it and a seal that does not fit any more.
  /// - Returns: the block, nil at the end.
  mutating func next(into bytes: UnsafeMutableRawBufferPointer) throws -> RowKey? {
    let geometry = store.geometry
    let stored = try scan.peek()
    let changed = merge.nextKey.flatMap { $0.table < tables.upperBound ? geometry.block(of: $0) : nil }
    guard let block = [stored?.block, changed].compactMap(\.self).min(), let base = bytes.baseAddress else {
      return nil
    }
    if let stored, stored.block == block {
      try Block.verify(stored.bytes, block, geometry, store.layout, path: store.path)
      bytes.copyMemory(from: stored.bytes)
      scan.advance()
    } else {
      Block.fillInitial(block, geometry, store.layout, into: bytes)
    }
    while let key = merge.nextKey, geometry.block(of: key) == block {
      (base + geometry.offset(of: key)).copyMemory(from: try merge.take(), byteCount: geometry.rowBytes)
    }
    return block
  }
}

extension ModelStore {
  /// The table `table` alone, or all of them.
  func range(of table: Int?) -> Range<Int> { table.map { $0..<$0 + 1 } ?? layout.tables.indices }

  /// Calls `body` with the rows of a block, whose bytes are given.
  func forEachRow(
    of block: RowKey, in bytes: UnsafeMutableRawBufferPointer,
    _ body: (RowKey, UnsafePointer<Float>) throws -> Void
  ) throws {
    guard let base = bytes.baseAddress else { return }
    var row = UnsafeRawPointer(base + Seal.byteCount).assumingMemoryBound(to: Float.self)
    for number in geometry.rows(of: block) {
      try body(RowKey(table: block.table, row: number), row)
      row += geometry.rowFloats
    }
  }
}
