import CLMDB
import Primitives

/// What one table, or the chunks of all of them, take in the file.
public struct StoredSize: Equatable, Sendable {
  /// Blocks, or chunks.
  public let values: Int
  /// Whole pages, those of the index included.
  public let bytes: Int
}

extension Snapshot {
  /// The blocks of each table. Constant time a table.
  public func storedBlocks() throws -> [StoredSize] { try store.databases.tables.map(size) }

  /// The chunks that no compaction has moved into blocks yet.
  public func storedChunks() throws -> StoredSize { try size(store.databases.chunks) }

  private func size(_ database: MDB_dbi) throws -> StoredSize {
    var statistics = MDB_stat()
    try check(mdb_stat(transaction.handle, database, &statistics), "count pages", path: store.path)
    let pages =
      Int(statistics.ms_branch_pages) + Int(statistics.ms_leaf_pages) + Int(statistics.ms_overflow_pages)
    return StoredSize(values: Int(statistics.ms_entries), bytes: pages * Int(statistics.ms_psize))
  }
}
