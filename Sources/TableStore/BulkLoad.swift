import CLMDB
import Primitives

extension ModelStore {
  /// Writes whole blocks of a model that stores no row yet, in key order, so that its trees grow packed and the file is
  /// written at the disk's sequential speed: how a model of known size is made at once.
  ///
  /// Each transaction is durable, and together they are not one: until the caller commits a cursor, a model that was
  /// killed midway is one with fewer rows stored.
  ///
  /// - Parameters:
  ///   - blocksPerTransaction: bounds the memory, see `MemoryCosts.compactionBytes`.
  ///   - fill: writes the rows `first ..< first + count` of a table to `rows` ([count × rowFloats]), which holds their
  ///     initial values.
  /// - Returns: blocks written.
  /// - Throws: `.exists` if a table stores a row already.
  public func loadAll(
    blocksPerTransaction: Int = 16_384,
    fill: (_ table: Int, _ first: UInt32, _ count: Int, _ rows: UnsafeMutablePointer<Float>) throws -> Void
  ) throws -> Int {
    let buffer = AlignedBuffer<UInt8>(count: geometry.blockBytes)
    let bytes = UnsafeMutableRawBufferPointer(start: buffer.base, count: geometry.blockBytes)
    let rows = UnsafeMutableRawPointer(buffer.base + Seal.byteCount).assumingMemoryBound(to: Float.self)
    var written = 0
    for (table, tableLayout) in layout.tables.enumerated() {
      let database = databases.tables[table]
      let blocks = (Int(tableLayout.rows) + geometry.rowsPerBlock - 1) / geometry.rowsPerBlock
      for start in stride(from: 0, to: blocks, by: blocksPerTransaction) {
        try environment.write { transaction in
          let cursor = try Cursor(transaction.handle, database, path: path)
          if start == 0, try cursor.move(MDB_FIRST, path: path) != nil {
            throw ChanterError(.exists, "table \(tableLayout.name) stores rows already", path: path)
          }
          for number in start..<min(blocks, start + blocksPerTransaction) {
            let block = RowKey(table: table, row: UInt32(number))
            Block.fillInitial(block, geometry, layout, into: bytes)
            let first = geometry.rows(of: block).lowerBound
            let count = min(geometry.rowsPerBlock, Int(tableLayout.rows) - Int(first))
            try fill(table, first, count, rows)
            Seal.close(bytes, .block(block))
            let room = try cursor.append(
              UInt64(number), count: bytes.count, "append block \(number) of table \(tableLayout.name)",
              path: path)
            room.copyMemory(from: UnsafeRawBufferPointer(bytes))
          }
        }
      }
      written += blocks
    }
    return written
  }
}
