import CLMDB
public import Primitives

/// Moves the rows of committed chunks into their blocks, in steps that are transactions of bounded size, in key order;
/// the last step deletes the chunks.
///
/// The logical state never changes: until the last step the chunks still say everything, so the work may be dropped or
/// killed between and inside steps and begun again. Commits may come between steps; their chunks stay.
///
/// One thread at a time, the one that also commits.
public final class Compaction {
  /// The last commit that this moves into blocks. Once `step` gave true, the block of every row is as new as this.
  public let through: UInt64
  public private(set) var isFinished = false
  public private(set) var blocksWritten = 0
  /// Bytes of the blocks written, without LMDB's pages around them.
  public private(set) var bytesWritten = 0

  private let store: ModelStore
  private let maximumBlocks: Int
  private var runs: [ChunkRun]
  private let groups: [Group]
  private let block: AlignedBuffer<UInt8>
  private var leaves: LeafReadAhead

  /// The rows of the blocks that are looked up and announced to the system together: key, and address in the map.
  private final class Group {
    let keys = AlignedBuffer<RowKey>(count: groupRows)
    let rows = AlignedBuffer<UnsafeRawPointer?>(count: groupRows)
    var count = 0
  }

  /// Blocks announced together, while those of the other group are written: enough to fill the disk's queue, few enough to
  /// stay cached until they are read.
  private static let groupBlocks = 512
  private static let groupRows = 1 << 14
  private static let groupCount = 2
  /// A step ends with a sync; fewer blocks would mean to wait for it most of the time.
  fileprivate static let leastBlocks = 2048

  /// Bytes this object holds for a compaction of `commits` commits, without LMDB's dirty pages
  /// (`MemoryCosts.compactionBytes`).
  public static func memoryBytes(commits: Int, layout: RowLayout) -> Int {
    groupCount * groupRows * (MemoryLayout<RowKey>.stride + MemoryLayout<UnsafeRawPointer?>.stride)
      + Geometry(rowBytes: layout.rowBytes).blockBytes + 2 * commits * ChunkMerge.memoryBytesPerRun
  }

  init(_ store: ModelStore, runs: [ChunkRun], through: UInt64, maximumBlocks: Int) {
    self.store = store
    self.runs = runs
    self.through = through
    self.maximumBlocks = maximumBlocks
    groups = (0..<Self.groupCount).map { _ in Group() }
    block = AlignedBuffer(count: store.geometry.blockBytes)
    leaves = LeafReadAhead(store)
  }

  /// Writes at most `maximumBlocks` blocks, in one transaction.
  /// - Returns: true once everything is moved and the chunks are deleted.
  /// - Throws: `.corrupt` for a damaged block or chunk, `.io`; nothing of the step has then happened.
  public func step() throws -> Bool {
    if isFinished { return true }
    let (left, finished, written) = try store.environment.write { transaction in
      // The last commit's index: what this changes is in memory.
      try leaves.renew(store, transaction.handle)
      var merge = try ChunkMerge(store, transaction: transaction.handle, runs: runs)
      var written = 0
      var number = 0
      // While the blocks of one group are written, the disk reads those of the next.
      var announced: Group?
      while written < maximumBlocks, merge.nextKey != nil {
        let group = groups[number % groups.count]
        number += 1
        written += try take(&merge, into: group, atMost: min(Self.groupBlocks, maximumBlocks - written))
        try announce(group, transaction)
        if let announced { try write(announced, transaction) }
        announced = group
      }
      if let announced { try write(announced, transaction) }
      let finished = merge.nextKey == nil
      if finished { try deleteChunks(transaction) }
      return (merge.runs, finished, written)
    }
    runs = left
    isFinished = finished
    blocksWritten += written
    bytesWritten += written * store.geometry.blockBytes
    return finished
  }

  /// Takes the rows of the next blocks.
  /// - Returns: the number of these blocks.
  private func take(_ merge: inout ChunkMerge, into group: Group, atMost blockLimit: Int) throws -> Int {
    let geometry = store.geometry
    var rowCount = 0
    var blockCount = 0
    var last = RowKey.max
    while let key = merge.nextKey {
      let block = geometry.block(of: key)
      if block != last {
        if blockCount == blockLimit || rowCount + geometry.rowsPerBlock > Self.groupRows { break }
        blockCount += 1
        last = block
      }
      group.keys.base[rowCount] = key
      group.rows.base[rowCount] = try merge.take()
      rowCount += 1
    }
    group.count = rowCount
    return blockCount
  }

  private func announce(_ group: Group, _ transaction: borrowing WriteTransaction) throws {
    leaves.announce(group.keys.base, count: group.count, store.geometry)
    var readAhead = ReadAhead()
    var last = RowKey.max
    for index in 0..<group.count {
      let block = store.geometry.block(of: group.keys.base[index])
      if block == last { continue }
      last = block
      if let stored = try transaction.get(store.databases.tables[block.table], UInt64(block.row)) {
        readAhead.add(UInt(bitPattern: stored.baseAddress), count: stored.count)
      }
    }
    readAhead.flush()
  }

  private func write(_ group: Group, _ transaction: borrowing WriteTransaction) throws {
    let keys = group.keys.base
    var start = 0
    while start < group.count {
      let block = store.geometry.block(of: keys[start])
      var end = start + 1
      while end < group.count, store.geometry.block(of: keys[end]) == block { end += 1 }
      try write(block, group, start..<end, transaction)
      start = end
    }
  }

  private func write(
    _ number: RowKey, _ group: Group, _ range: Range<Int>, _ transaction: borrowing WriteTransaction
  ) throws {
    let geometry = store.geometry
    let database = store.databases.tables[number.table]
    let bytes = UnsafeMutableRawBufferPointer(start: block.base, count: geometry.blockBytes)
    if let stored = try transaction.get(database, UInt64(number.row)) {
      try store.environment.checkPageHeader(of: stored)
      try Block.verify(stored, number, geometry, store.layout, path: store.path)
      bytes.copyMemory(from: stored)
    } else {
      Block.fillInitial(number, geometry, store.layout, into: bytes)
    }
    for index in range {
      guard let row = group.rows.base[index] else {
        throw ChanterError(.broken, "a row to be moved has no place", path: store.path)
      }
      (UnsafeMutableRawPointer(block.base) + geometry.offset(of: group.keys.base[index]))
        .copyMemory(from: row, byteCount: geometry.rowBytes)
    }
    Seal.close(bytes, .block(number))
    try transaction.put(
      database, UInt64(number.row), UnsafeRawBufferPointer(bytes),
      "put block \(number.row) of table \(store.layout.tables[number.table].name)")
  }

  /// Deletes the chunks of all commits up to `through`: the first entries of their database.
  private func deleteChunks(_ transaction: borrowing WriteTransaction) throws {
    let cursor = try Cursor(transaction.handle, store.databases.chunks, path: store.path)
    var deleted = 0
    while let found = try cursor.move(MDB_FIRST, path: store.path), Chunk.commit(of: found.key) <= through {
      // Where the system has dropped the pages since the merge, each would be a wait of its own.
      if deleted % ChunkIndex.groupChunks == 0 {
        try store.announceChunks(transaction.handle, from: found.key, count: ChunkIndex.groupChunks)
      }
      deleted += 1
      try store.environment.checkPageHeader(of: found.value)
      try check(mdb_cursor_del(cursor.handle, 0), "delete a chunk", path: store.path)
    }
  }
}

extension ModelStore {
  /// A compaction of all commits up to `last` (all there are by default), or nil if they have no chunks.
  ///
  /// - Parameter maximumBlocks: most blocks of one step, at least 1; LMDB keeps a dirty page for each page of a block
  ///   until the step's end (see `MemoryCosts`). A step takes fewer where they were more than a 32nd of the stored blocks: pages
  ///   that a transaction replaces are reused by the second one after it, so two steps are what the file grows by.
  public func makeCompaction(through last: UInt64? = nil, maximumBlocks: Int) throws -> Compaction? {
    // A reader that was killed meanwhile would keep every page that is replaced from here on.
    try environment.clearStaleReaders()
    let through = try last ?? readState().commit
    let (runs, stored) = try environment.read { transaction in
      (try chunkRuns(transaction.handle, through: through), try storedBlocks(transaction.handle))
    }
    if runs.isEmpty { return nil }
    let step = min(maximumBlocks, max(Compaction.leastBlocks, stored / 32))
    return Compaction(self, runs: runs, through: through, maximumBlocks: max(1, step))
  }

  private func storedBlocks(_ transaction: OpaquePointer) throws -> Int {
    var count = 0
    for table in databases.tables {
      var statistics = MDB_stat()
      try check(mdb_stat(transaction, table, &statistics), "count the blocks", path: path)
      count += statistics.ms_entries
    }
    return count
  }
}
