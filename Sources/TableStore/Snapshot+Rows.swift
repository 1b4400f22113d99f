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
    try forEachStoredBlock(of: table) { block, bytes in
      guard let base = bytes.baseAddress else { return }
      var row = UnsafeRawPointer(base + Seal.byteCount).assumingMemoryBound(to: Float.self)
      for number in store.geometry.rows(of: block) {
        try body(RowKey(table: block.table, row: number), row)
        row += store.geometry.rowFloats
      }
    }
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

  /// Merges the stored blocks with the chunks, in ascending order. `body` gets a block's bytes with the newest rows in
  /// them and a seal that does not fit any more.
  /// - Parameter table: the one table to go through; nil for all.
  func forEachStoredBlock(
    of table: Int? = nil, _ body: (RowKey, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let geometry = store.geometry
    let buffer = AlignedBuffer<UInt8>(count: geometry.blockBytes)
    let bytes = UnsafeMutableRawBufferPointer(start: buffer.base, count: geometry.blockBytes)
    let runs = try store.chunkRuns(transaction.handle, through: .max)
    var merge = try ChunkMerge(store, transaction: transaction.handle, runs: runs)
    let tables = table.map { $0..<$0 + 1 } ?? store.layout.tables.indices
    var scan = BlockScan(
      store, transaction: transaction.handle,
      skippedTables: Set(store.layout.tables.indices.filter { !tables.contains($0) }))
    while let key = merge.nextKey, key.table < tables.lowerBound { _ = try merge.take() }
    while true {
      let stored = try scan.peek()
      let changed = merge.nextKey.flatMap {
        $0.table < tables.upperBound ? geometry.block(of: $0) : nil
      }
      guard let block = [stored?.block, changed].compactMap(\.self).min() else { return }
      if let stored, stored.block == block {
        try Block.verify(stored.bytes, block, geometry, store.layout, path: store.path)
        bytes.copyMemory(from: stored.bytes)
        scan.advance()
      } else {
        Block.fillInitial(block, geometry, store.layout, into: bytes)
      }
      while let key = merge.nextKey, geometry.block(of: key) == block {
        (UnsafeMutableRawPointer(buffer.base) + geometry.offset(of: key))
          .copyMemory(from: try merge.take(), byteCount: geometry.rowBytes)
      }
      try body(block, bytes)
    }
  }
}
