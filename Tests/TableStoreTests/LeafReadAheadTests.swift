import CLMDB
import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// The walk over the branch pages finds the leaves that LMDB reads.
@Suite struct LeafReadAheadTests {
  /// Some 150 entries to a leaf and 220 leaves to a branch page: 40,000 have three levels.
  @Test func theLeavesAreThoseOfTheLookups() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      let table = store.databases.tables[1]
      // Every other block, in an order that splits pages. What is stored there does not matter here.
      try store.environment.write { transaction in
        let none = AlignedBuffer<UInt8>(count: 8)
        for index in 0..<UInt64(40_000) {
          try transaction.put(
            table, 2 * (index * 7919 % 40_000), UnsafeRawBufferPointer(none.rawBytes), "put")
        }
        try transaction.put(store.databases.tables[0], 0, UnsafeRawBufferPointer(none.rawBytes), "put")
      }
      let transaction = try ReadTransaction(store.environment)
      var leaves = LeafReadAhead(store)
      try leaves.renew(store, transaction.handle)
      let geometry = store.geometry
      func pages(_ blocks: [UInt32]) -> [UInt] {
        let keys =
          [RowKey(table: 0, row: 3)]
          + blocks.map { RowKey(table: 1, row: $0 * UInt32(geometry.rowsPerBlock) + 1) }
        var found: [UInt] = []
        leaves.forEachLeaf(keys, count: keys.count, geometry) { found.append($0) }
        return found
      }
      var statistics = MDB_stat()
      mdb_stat(transaction.handle, table, &statistics)
      #expect(statistics.ms_depth == 3)
      // All of them, each once; of the small table the only page is its root.
      let all = pages(Array(0..<81_000))
      #expect(all.count == Int(statistics.ms_leaf_pages))
      #expect(Set(all).count == all.count)
      for block in [0, 1, 2, 157, 39_998, 40_001, 79_998] as [UInt32] {
        let found = pages([block])
        #expect(found.count == 1)
        // Of the neighbours that are stored, the one below the block or the one above must be there.
        let range = try blocks(inLeafAt: #require(found.first))
        #expect(range.contains(UInt64(block)) || range.contains(UInt64(block & ~1)))
      }
      #expect(pages([79_998]) == pages([80_999]))

      // After a commit that moves the root and all above what it changes.
      try store.environment.write { transaction in
        let none = AlignedBuffer<UInt8>(count: 8)
        for block in stride(from: UInt64(1), to: 2000, by: 2) {
          try transaction.put(table, block, UnsafeRawBufferPointer(none.rawBytes), "put")
        }
      }
      let newer = try ReadTransaction(store.environment)
      try leaves.renew(store, newer.handle)
      mdb_stat(newer.handle, table, &statistics)
      let moved = pages(Array(0..<81_000))
      #expect(moved.count == Int(statistics.ms_leaf_pages) && moved.count > all.count)
      #expect(moved != all && moved.last == all.last)
    }
  }

  /// The first and last key of a leaf page.
  private func blocks(inLeafAt address: UInt) throws -> ClosedRange<UInt64> {
    let page = try #require(UnsafeRawPointer(bitPattern: address))
    // The flag of a leaf.
    #expect(page.loadUnaligned(fromByteOffset: 10, as: UInt16.self) == 2)
    func key(_ node: Int) -> UInt64 {
      let place = Int(page.loadUnaligned(fromByteOffset: 16 + 2 * node, as: UInt16.self))
      return page.loadUnaligned(fromByteOffset: place + 8, as: UInt64.self)
    }
    let nodes = (Int(page.loadUnaligned(fromByteOffset: 12, as: UInt16.self)) - 16) / 2
    return key(0)...key(nodes - 1)
  }
}
