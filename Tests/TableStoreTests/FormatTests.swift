import CLMDB
import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

@Suite struct FormatTests {
  @Test(arguments: [
    (4, 1018, 4080), (68, 59, 4080), (400, 10, 4080), (404, 40, 16_368), (516, 31, 16_368),
    (16_360, 1, 16_368),
  ])
  func blockSizes(rowBytes: Int, rowsPerBlock: Int, blockBytes: Int) {
    let geometry = Geometry(rowBytes: rowBytes)
    #expect(geometry.rowsPerBlock == rowsPerBlock)
    #expect(geometry.blockBytes == blockBytes)
    // The widest rows leave no room for a chunk's header: one row takes a page more.
    let fits = Chunk.byteCount(rows: 1, geometry) <= blockBytes
    #expect(fits == (rowBytes < 16_360))
    #expect(
      fits ? Chunk.byteCount(rows: geometry.rowsPerChunk, geometry) <= blockBytes : geometry.rowsPerChunk == 1
    )
    #expect(Chunk.byteCount(rows: geometry.rowsPerChunk + 1, geometry) > blockBytes)
  }

  /// A block costs exactly its pages: one, or four for wide rows.
  @Test(arguments: [(16, 1), (128, 4)])
  func overflowPages(dimension: Int, pagesPerBlock: Int) throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout(dimension: dimension)
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      let rows = (0..<UInt32(300)).map { row in
        (RowKey(table: 0, row: row * 20), [Float](repeating: Float(row), count: layout.rowFloats))
      }
      try commit(store, rows, dense: [], cursor: 1)
      let compaction = try #require(try store.makeCompaction(maximumBlocks: 10_000))
      #expect(try compaction.step())
      let statistics = try store.environment.read { transaction in
        var statistics = MDB_stat()
        try check(
          mdb_stat(transaction.handle, store.databases.tables[0], &statistics), "count pages",
          path: store.path)
        return statistics
      }
      #expect(statistics.ms_entries == compaction.blocksWritten)
      #expect(statistics.ms_overflow_pages == pagesPerBlock * compaction.blocksWritten)
      let blocks = Set(rows.map { store.geometry.block(of: $0.0) })
      #expect(compaction.blocksWritten == blocks.count)
    }
  }

  /// The stored bytes of a fixed history. If this changes by more than the length of chunks, models made before cannot be
  /// read: give the change a new format version.
  @Test func goldenBytes() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout(dimension: 4)
      let store = try makeStore(
        directory.appendingPathComponent("model").path, layout, dense: [1, 2, 3], header: "{\"a\":1}")
      let random = CounterRandom(seed: 2, stream: 2)
      try commit(store, randomRows(CounterRandom(random, 1), count: 60, layout), dense: [4, 5], cursor: 10)
      try compactAll(store)
      let result = try commit(
        store, randomRows(CounterRandom(random, 2), count: 7000, layout), dense: [6], cursor: 20)
      #expect(result.chunks == 20)
      var fingerprint = Fingerprint()
      try store.environment.read { transaction in
        for record in [Record.header, .state] {
          fingerprint.update(try #require(try transaction.get(store.databases.meta, record.key)))
        }
        for database in [store.databases.dense, store.databases.chunks] + store.databases.tables {
          let cursor = try Cursor(transaction.handle, database, path: store.path)
          var entry = try cursor.move(MDB_FIRST, path: store.path)
          while let found = entry {
            fingerprint.update(found.key)
            fingerprint.update(found.value)
            entry = try cursor.move(MDB_NEXT, path: store.path)
          }
        }
      }
      #expect(fingerprint.hex == "b15b73bb9104cf1bef758459d34660cb")
      let digest = try Snapshot(store).digest()
      #expect(digest == "bb4177d52928c2bfe20508aa64a6e97c")
    }
  }

  @Test func headerAndLayoutComeBack() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("a/b/model").path
      let layout = testLayout()
      var store: ModelStore? = try makeStore(path, layout, dense: [7], header: "{\"α\": 1}")
      #expect(store?.header == "{\"α\": 1}")
      store = nil
      #expect(try ModelStore.exists(at: path))
      let reopened = try ModelStore.openForTraining(at: path)
      #expect(reopened.header == "{\"α\": 1}")
      #expect(reopened.layout == layout)
      #expect(try reopened.readState() == CommitState(commit: 0, cursor: 0, denseBytes: 1))
    }
  }

  @Test func bytesWrittenAreTheValues() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      let rows = (0..<UInt32(900)).map { row in
        (RowKey(table: 0, row: row), [Float](repeating: 1, count: layout.rowFloats))
      }
      let result = try commit(store, rows, dense: [1, 2, 3], cursor: 1)
      // 53 rows of 68 + 8 bytes fill a chunk.
      #expect(result == CommitResult(commit: 1, chunks: 17, bytesWritten: 17 * 40 + 900 * 76 + 16 + 3 + 32))
    }
  }

  @Test(arguments: [
    ([TableLayout(name: "", rows: 1)], 16, 1),
    ([TableLayout(name: "a", rows: 1), TableLayout(name: "a", rows: 2)], 16, 1),
    ([TableLayout(name: "a", rows: 1)], 4090, 1), ([TableLayout(name: "a", rows: 1)], 0, 1),
  ])
  func impossibleLayoutIsRefused(tables: [TableLayout], dimension: Int, stateFloats: Int) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      let layout = RowLayout(tables: tables, dimension: dimension, stateFloats: stateFloats, seed: 1)
      #expect(message { _ = try makeStore(path, layout, dense: []) }?.kind == .badInput)
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }

  /// 900 rows commit in 17 chunks of a page; the count states what LMDB then holds.
  @Test func memoryCosts() {
    let layout = testLayout()
    let commit = MemoryCosts.commitBytes(rows: 900, layout: layout, denseBytes: 3)
    #expect(commit == (17 + 1 + 0 + 64) * 4096)
    #expect(MemoryCosts.compactionBytes(blocks: 3200, layout: layout) == (3200 + 100 + 64) * 4096)
    // 53 rows a chunk; 3 values are the record's. Past the bound LMDB would run out of its list.
    let most = MemoryCosts.mostCommitRows(layout: layout, denseBytes: 9000)
    #expect(most == 53 * 99_997)
    #expect(MemoryCosts.commitBytes(rows: most, layout: layout, denseBytes: 9000) < 131_071 * 4096)
  }
}
