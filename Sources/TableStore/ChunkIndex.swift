import CLMDB
import Primitives

/// Finds the newest committed value of a row in the chunks of one read transaction, by binary search.
///
/// Holds about 48 bytes a chunk. Building it reads one page of each chunk; a chunk is checked whole when a row is
/// first looked for between its keys.
final class ChunkIndex {
  private let store: ModelStore
  private var chunks: [Chunk.Location] = []
  private var isVerified: [Bool] = []
  // Chunks of one commit lie between one start and the next; oldest commit first.
  private var starts: [Int] = []

  init(_ store: ModelStore, _ transaction: borrowing ReadTransaction) throws {
    self.store = store
    let cursor = try Cursor(transaction.handle, store.databases.chunks, path: store.path)
    var operation = MDB_FIRST
    while let found = try cursor.move(operation, path: store.path) {
      operation = MDB_NEXT
      let chunk = try Chunk.locate(found.value, key: found.key, store.geometry, path: store.path)
      if let last = chunks.last, Chunk.commit(of: last.key) == Chunk.commit(of: found.key) {
        guard found.key == last.key &+ 1, chunk.firstKey > last.lastKey else {
          throw ChanterError(
            .corrupt,
            "the chunks of commit \(Chunk.commit(of: found.key)) are out of order; " + restoreAdvice,
            path: store.path)
        }
      } else {
        starts.append(chunks.count)
      }
      chunks.append(chunk)
    }
    starts.append(chunks.count)
    isVerified = Array(repeating: false, count: chunks.count)
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
      guard low > starts[run], chunks[low - 1].lastKey >= key else { continue }
      let chunk = chunks[low - 1]
      if !isVerified[low - 1] {
        try verify(chunk)
        isVerified[low - 1] = true
      }
      let index = chunk.lowerBound(key)
      if index < chunk.count, chunk.rowKey(index) == key { return chunk.row(index, store.geometry) }
    }
    return nil
  }

  private func verify(_ chunk: Chunk.Location) throws {
    var readAhead = ReadAhead()
    readAhead.add(
      UInt(bitPattern: chunk.base), count: Chunk.byteCount(rows: chunk.count, store.geometry))
    readAhead.flush()
    try Chunk.verify(chunk, store.geometry, store.layout, path: store.path)
  }
}
