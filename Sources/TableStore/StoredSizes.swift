import CLMDB
import Primitives

/// What one table, or the chunks of all of them, take in the file.
public struct StoredSize: Equatable, Sendable {
  /// Blocks, or chunks.
  public let values: Int
  /// Whole pages, those of the index included.
  public let bytes: Int

  public init(values: Int, bytes: Int) {
    self.values = values
    self.bytes = bytes
  }
}

/// What one commit takes in the file.
public struct StoredSizes: Sendable {
  public let state: CommitState
  /// The blocks of each table.
  public let blocks: [StoredSize]
  /// The chunks that no compaction has moved into blocks yet.
  public let chunks: StoredSize
}

extension ModelStore {
  /// The sizes as of the last commit, in a transaction of its own. Constant time a table.
  public func storedSizes() throws -> StoredSizes {
    try environment.read { transaction in
      let handle = transaction.handle
      return StoredSizes(
        state: try StateRecord.read(transaction.get(databases.meta, Record.state.key), path: path),
        blocks: try databases.tables.map { try storedSize($0, handle) },
        chunks: try storedSize(databases.chunks, handle))
    }
  }

  private func storedSize(_ database: MDB_dbi, _ transaction: OpaquePointer) throws -> StoredSize {
    var statistics = MDB_stat()
    try check(mdb_stat(transaction, database, &statistics), "count pages", path: path)
    let pages =
      Int(statistics.ms_branch_pages) + Int(statistics.ms_leaf_pages) + Int(statistics.ms_overflow_pages)
    return StoredSize(values: Int(statistics.ms_entries), bytes: pages * Int(statistics.ms_psize))
  }
}
