import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// Reading a model in short transactions while it is written.
@Suite struct LiveRowsTests {
  /// What each row was after each commit.
  private struct History {
    let layout: RowLayout
    var values: [RowKey: [(commit: UInt64, row: [UInt32])]] = [:]

    mutating func add(_ rows: [(RowKey, [Float])], commit: UInt64) {
      for (key, row) in rows { values[key, default: []].append((commit, bits(row))) }
    }

    /// The row as of a commit.
    func row(_ key: RowKey, at commit: UInt64) -> [UInt32] {
      values[key]?.last { $0.commit <= commit }?.row
        ?? bits(TruthModel(layout: layout, dense: []).initial(key))
    }
  }

  private func rows(
    _ layout: RowLayout, table: Int, _ rows: some Sequence<UInt32>, _ value: Float
  ) -> [(RowKey, [Float])] {
    rows.map { row in
      (RowKey(table: table, row: row), (0..<layout.rowFloats).map { value + Float(row) / 8 + Float($0) })
    }
  }

  /// Commits and steps of compactions come between any two blocks; some chunks span a whole group, some commits have many chunks.
  @Test(arguments: [1, 3, 40]) func eachBlockIsThatOfTheNewestCommit(groupBlocks: Int) throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      var history = History(layout: layout)
      func change(_ changed: [(RowKey, [Float])]) throws {
        try commit(store, changed, dense: [], cursor: 0)
        history.add(changed, commit: try store.readState().commit)
      }
      try change(rows(layout, table: 1, stride(from: 0, to: 6000, by: 2), 1))
      try compactAll(store)
      try change(rows(layout, table: 1, stride(from: 0, to: 9000, by: 3), 2))
      try change(rows(layout, table: 0, 0..<500, 3) + rows(layout, table: 2, 3..<9, 3))
      let first = try store.readState().commit
      let before = Set(history.values.keys)

      let random = CounterRandom(seed: 12, stream: 4)
      var compaction: Compaction?
      var number: UInt64 = 0
      var previous: RowKey?
      var found = Set<RowKey>()
      var groupState = first
      let span = try store.forEachLiveBlock(groupBlocks: groupBlocks) { block, bytes in
        #expect(previous.map { $0 < block } ?? true)
        previous = block
        let newest = try store.readState().commit
        // A group begins with what was the newest state then.
        if number % UInt64(groupBlocks) == 0 { groupState = newest }
        var wrong = 0
        try store.forEachRow(of: block, in: bytes) { key, pointer in
          let row = bits(Array(UnsafeBufferPointer(start: pointer, count: layout.rowFloats)))
          if row != history.row(key, at: groupState) { wrong += 1 }
          if before.contains(key), !found.insert(key).inserted { wrong += 1 }
        }
        #expect(wrong == 0, "block \(block.row) of table \(block.table), group of commit \(groupState)")
        let draw = CounterRandom(random, number)
        number += 1
        switch draw.below(5, 0) {
        case 0: try change(rows(layout, table: 1, [0, 100, UInt32(draw.below(12_000, 1))], Float(number)))
        case 1:
          let start = UInt32(draw.below(8000, 1))
          try change(rows(layout, table: 1, start..<start + 1000, Float(number)))
        case 2, 3:
          if compaction == nil { compaction = try store.makeCompaction(maximumBlocks: 9) }
          if try compaction?.step() == true { compaction = nil }
        default: break
        }
      }
      #expect(found == before)
      #expect(span.first.commit == first && span.last.commit >= groupState && groupState > first + 20)

      // With nobody writing, it is what a snapshot shows, also from the middle of commits with several chunks.
      for table in [nil, 0, 1, 2] {
        var expected: [RowKey: [UInt32]] = [:]
        var live = expected
        func row(_ pointer: UnsafePointer<Float>) -> [UInt32] {
          bits(Array(UnsafeBufferPointer(start: pointer, count: layout.rowFloats)))
        }
        try Snapshot(store).forEachChangedRow(of: table) { expected[$0] = row($1) }
        let span = try store.forEachChangedRow(of: table) { live[$0] = row($1) }
        #expect(live == expected && !live.isEmpty && span.isOne)
      }
    }
  }

  /// The pages that a trainer replaces are used again while a scan is under way; with a snapshot they are not.
  @Test func theFileDoesNotGrowByWhatIsWrittenMeanwhile() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let path = directory.appendingPathComponent("model").path
      let store = try makeStore(path, layout, dense: [])
      let keys = (0..<UInt32(1770)).map { RowKey(table: 1, row: $0) }
      var value: Float = 0
      func write() throws {
        value += 1
        try commit(
          store, keys.map { ($0, [Float](repeating: value, count: layout.rowFloats)) }, dense: [], cursor: 0)
        try compactAll(store)
      }
      func size() throws -> Int { try File(reading: path + "/data.mdb").size() }
      // How much the file grows by ten rounds of writing in a scan of 30 blocks.
      func growth(_ scan: ((RowKey, UnsafeMutableRawBufferPointer) throws -> Void) throws -> Void) throws
        -> Int
      {
        let before = try size()
        var blocks = 0
        try scan { _, _ in
          blocks += 1
          if blocks % 3 == 0 { try write() }
        }
        #expect(blocks == 30)
        return try size() - before
      }
      for _ in 0..<6 { try write() }
      let blockBytes = 30 * 4096
      let live = try growth { body in
        let span = try store.forEachLiveBlock(of: 1, groupBlocks: 3, body)
        #expect(!span.isOne)
      }
      let snapshot = try growth { body in try Snapshot(store).forEachStoredBlock(of: 1, body) }
      #expect(live <= 2 * blockBytes && snapshot > 10 * blockBytes, "\(live) and \(snapshot) bytes")
    }
  }
}
