import CLMDB
public import Primitives

/// What one commit did.
public struct CommitResult: Equatable, Sendable {
  /// The commit's number: one more than that of the commit before.
  public let commit: UInt64
  public let chunks: Int
  /// Bytes of all values written (chunks, dense record, state), without LMDB's pages around them.
  public let bytesWritten: Int
}

extension ModelStore {
  /// Makes rows, dense parameters and cursor durable in one transaction: all of it, or after any failure or crash
  /// nothing. Call it from one thread.
  ///
  /// - Parameters:
  ///   - keys: names of rows, in any order.
  ///   - order: `count` indices into `keys`, such that `keys[order[i]]` ascend without repetition.
  ///   - rows: the row of `keys[j]` starts at `rows + j * rowFloats`.
  ///   - dense: the dense record, whole.
  ///   - cursor: batches trained.
  /// - Throws: `.io` when the disk is full; the last commit is then intact and the same call may be made again.
  public func commit(
    keys: UnsafePointer<RowKey>, order: UnsafePointer<UInt32>, count: Int, rows: UnsafePointer<Float>,
    dense: UnsafeRawBufferPointer, cursor: UInt64
  ) throws -> CommitResult {
    try environment.write { transaction in
      let last = try StateRecord.read(transaction.get(databases.meta, Record.state.key), path: path)
      let number = last.commit + 1
      let (chunks, chunkBytes) = try appendChunks(
        commit: number, keys: keys, order: order, count: count, rows: rows, transaction)
      let state = CommitState(commit: number, cursor: cursor, denseBytes: dense.count)
      let recordBytes = try Self.putState(
        state, dense: dense, geometry, databases, environment, transaction)
      return CommitResult(commit: number, chunks: chunks, bytesWritten: chunkBytes + recordBytes)
    }
  }

  /// As `commit`, with no row: another dense record.
  public func commit(dense: UnsafeRawBufferPointer, cursor: UInt64) throws -> CommitResult {
    let (keys, order, rows) = (
      AlignedBuffer<RowKey>(count: 0), AlignedBuffer<UInt32>(count: 0), AlignedBuffer<Float>(count: 0)
    )
    return try commit(
      keys: keys.base, order: order.base, count: 0, rows: rows.base, dense: dense, cursor: cursor)
  }

  private func appendChunks(
    commit number: UInt64, keys: UnsafePointer<RowKey>, order: UnsafePointer<UInt32>, count: Int,
    rows: UnsafePointer<Float>, _ transaction: borrowing WriteTransaction
  ) throws -> (chunks: Int, bytes: Int) {
    let chunkCount = (count + geometry.rowsPerChunk - 1) / geometry.rowsPerChunk
    guard number <= Chunk.largestCommit, chunkCount <= 1 << Chunk.sequenceBits else {
      throw ChanterError(.broken, "commit \(number) with \(count) rows is beyond the format", path: path)
    }
    var written = 0
    let cursor = try Cursor(transaction.handle, databases.chunks, path: path)
    for sequence in 0..<chunkCount {
      let start = sequence * geometry.rowsPerChunk
      let length = min(geometry.rowsPerChunk, count - start)
      let key = Chunk.key(commit: number, sequence: UInt64(sequence))
      let size = Chunk.byteCount(rows: length, geometry)
      let value = try cursor.append(
        key, count: size, "append chunk \(sequence) of commit \(number)", path: path)
      Chunk.write(
        into: value, key: key, geometry, keys: keys, order: order + start, count: length, rows: rows)
      written += size
    }
    return (chunkCount, written)
  }
}

extension Cursor {
  /// Makes room for a value of `count` bytes after the last entry and returns it, to be filled before the next call.
  func append(
    _ number: UInt64, count: Int, _ attempt: @autoclosure () -> String, path: String
  ) throws -> UnsafeMutableRawBufferPointer {
    var number = number
    return try withUnsafeMutableBytes(of: &number) { bytes in
      var key = MDB_val(mv_size: 8, mv_data: bytes.baseAddress)
      var data = MDB_val(mv_size: count, mv_data: nil)
      try check(
        mdb_cursor_put(handle, &key, &data, UInt32(MDB_RESERVE | MDB_APPEND)), attempt(), path: path)
      return UnsafeMutableRawBufferPointer(start: data.mv_data, count: count)
    }
  }
}
