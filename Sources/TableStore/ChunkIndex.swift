import CLMDB
import Primitives

/// Finds the newest committed value of a row in the chunks of one read transaction, by binary search.
///
/// Building it reads the head of each chunk; a chunk is checked whole when a row is first looked for between its keys.
final class ChunkIndex {
  private struct Entry {
    let firstKey: RowKey
    let base: UnsafeRawPointer
  }
  /// Bytes held for each chunk.
  static let memoryBytesPerChunk = MemoryLayout<Entry>.stride + MemoryLayout<Bool>.stride
  /// Chunks announced together: enough to fill the disk's queue many times.
  static let groupChunks = 1024

  private let store: ModelStore
  private var chunks: [Entry] = []
  private var isVerified: [Bool] = []
  // Chunks of one commit lie between one start and the next; oldest commit first.
  private var starts: [Int] = []
  private var commits: [UInt64] = []

  init(_ store: ModelStore, _ transaction: borrowing ReadTransaction) throws {
    self.store = store
    var statistics = MDB_stat()
    try check(
      mdb_stat(transaction.handle, store.databases.chunks, &statistics), "count the chunks", path: store.path)
    chunks.reserveCapacity(statistics.ms_entries)
    let cursor = try Cursor(transaction.handle, store.databases.chunks, path: store.path)
    var last: Chunk.Location?
    var entry = try cursor.move(MDB_FIRST, path: store.path)
    while let found = entry {
      if chunks.count % Self.groupChunks == 0 {
        try store.announceChunks(transaction.handle, from: found.key, count: Self.groupChunks)
      }
      last = try add(found.key, found.value, after: last)
      entry = try cursor.move(MDB_NEXT, path: store.path)
    }
    starts.append(chunks.count)
    isVerified = Array(repeating: false, count: chunks.count)
  }

  private func add(
    _ key: UInt64, _ value: UnsafeRawBufferPointer, after last: Chunk.Location?
  ) throws -> Chunk.Location {
    let chunk = try Chunk.locate(value, key: key, store.geometry, path: store.path)
    if let last, Chunk.commit(of: last.key) == Chunk.commit(of: key) {
      guard key == last.key &+ 1, chunk.firstKey > last.lastKey else {
        throw ChanterError(
          .corrupt, "the chunks of commit \(Chunk.commit(of: key)) are out of order; " + restoreAdvice,
          path: store.path)
      }
    } else {
      guard Chunk.sequence(of: key) == 0 else {
        throw ChanterError(
          .corrupt, "the first chunk of commit \(Chunk.commit(of: key)) is missing; " + restoreAdvice,
          path: store.path)
      }
      starts.append(chunks.count)
      commits.append(Chunk.commit(of: key))
    }
    chunks.append(Entry(firstKey: chunk.firstKey, base: chunk.base))
    return chunk
  }

  var isEmpty: Bool { chunks.isEmpty }

  /// The row's newest value in the chunks (`rowBytes` bytes in the mapped file), or nil if no chunk has it.
  ///
  /// Complexity: two binary searches for each commit that has chunks, newest first.
  func find(_ key: RowKey) throws -> UnsafeRawPointer? {
    for run in (0..<starts.count - 1).reversed() {
      var low = starts[run]
      var high = starts[run + 1]
      // The last chunk of the commit that does not start after the key.
      while low < high {
        let middle = (low + high) / 2
        if chunks[middle].firstKey <= key { low = middle + 1 } else { high = middle }
      }
      guard low > starts[run] else { continue }
      let chunk = Chunk.Location(
        key: Chunk.key(commit: commits[run], sequence: UInt64(low - 1 - starts[run])),
        checked: chunks[low - 1].base)
      guard chunk.lastKey >= key else { continue }
      if !isVerified[low - 1] {
        try Chunk.verify(chunk, store.geometry, store.layout, path: store.path)
        isVerified[low - 1] = true
      }
      let index = chunk.lowerBound(key)
      if index < chunk.count, chunk.rowKey(index) == key { return chunk.row(index, store.geometry) }
    }
    return nil
  }
}
