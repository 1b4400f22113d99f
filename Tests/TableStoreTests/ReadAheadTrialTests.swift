import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

@Suite struct ReadAheadTrialTests {
  /// Blocks that are announced until the next trial begins.
  private func announced(_ trial: inout ReadAheadTrial) -> Int {
    var count = 0
    while trial.announces {
      trial.didAnnounce(256)
      count += 256
    }
    return count
  }

  @Test func trialsThatFailBecomeRareAndStayShort() {
    var trial = ReadAheadTrial()
    var pauses: [Int] = []
    for round in 0..<9 {
      pauses.append(announced(&trial))
      #expect(trial.group == 4)
      trial.begin(faults: 10 * round)
      trial.didReadGroup(faults: 10 * round + 4)
      #expect(trial.announces)
    }
    #expect(pauses == [1, 2, 4, 8, 8, 8, 8, 8, 8].map { $0 << 10 })
  }

  @Test func groupsGrowWhileNothingWaitsForTheDisk() {
    var trial = ReadAheadTrial()
    #expect(announced(&trial) == 1024)
    trial.begin(faults: 3)
    trial.didReadGroup(faults: 4)
    #expect(announced(&trial) == 2048)
    trial.begin(faults: 7)
    var groups: [Int] = []
    for _ in 0..<8 {
      groups.append(trial.group)
      trial.didReadGroup(faults: 7)
      #expect(!trial.announces)
    }
    #expect(groups == [4, 8, 16, 32, 64, 128, 256, 256])
    // A success makes the next pause the shortest one again, twice it after the failure that ends it.
    trial.didReadGroup(faults: 8)
    #expect(trial.announces)
    #expect(announced(&trial) == 2048)
  }

  /// More blocks than are announced at first, and again once the reader tries without: the rows are the same, and a
  /// damaged block is found either way.
  @Test func rowsAreTheSameAnnouncedOrNot() throws {
    try withTemporaryDirectory { directory in
      let layout = RowLayout(
        tables: [TableLayout(name: "C1", rows: 15_000)], dimension: 99, stateFloats: 1, seed: 3)
      let path = directory.appendingPathComponent("model").path
      let store = try makeStore(path, layout, dense: [])
      _ = try store.loadAll { _, first, count, rows in
        for index in 0..<count { rows[index * 100] = Float(Int(first) + index) }
      }
      #expect(store.geometry.rowsPerBlock == 10)
      let keys = (0..<1500).map { RowKey(table: 0, row: UInt32(10 * $0 + $0 % 10)) }
      let fetcher = try store.makeFetcher(maximumRows: keys.count)
      for _ in 0..<3 {
        let (rows, blocks) = try fetched(keys, layout, fetcher.fetch)
        #expect(blocks == keys.count)
        #expect(zip(keys, rows).allSatisfy { key, row in row[0] == Float(key.row) })
      }
      // LMDB's map shows at once what is written to the file.
      let block = store.geometry.block(of: keys[700])
      let place = try store.environment.read {
        try offset(of: #require(try $0.get(store.databases.tables[0], UInt64(block.row))))
      }
      try flip(path, at: [place + 2000])
      let error = try #require(message { _ = try fetched(keys, layout, fetcher.fetch) })
      #expect(error.message.contains("rows 7000 to 7009 of table C1"))
    }
  }
}
