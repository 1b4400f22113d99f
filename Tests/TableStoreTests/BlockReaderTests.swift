import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// Both ways to read blocks, through the system's cache and past it, give the same rows and find the same damage.
@Suite struct BlockReaderTests {
  /// Rows of 400 bytes, ten to a block, or of 408, which go four pages to a block.
  private static let dimensions = [99, 101]

  private func makeFilled(_ directory: URL, dimension: Int) throws -> (ModelStore, [RowKey]) {
    let layout = RowLayout(
      tables: [TableLayout(name: "C1", rows: 15_000)], dimension: dimension, stateFloats: 1, seed: 3)
    let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
    let perBlock = store.geometry.rowsPerBlock
    _ = try store.loadAll { _, first, count, rows in
      for index in 0..<count { rows[index * (dimension + 1)] = Float(Int(first) + index) }
    }
    #expect(store.geometry.pagesPerBlock == (dimension == 99 ? 1 : 4))
    let blocks = 15_000 / perBlock
    #expect(blocks == (dimension == 99 ? 1500 : 375))
    let keys = (0..<blocks).map { RowKey(table: 0, row: UInt32(perBlock * $0 + $0 % perBlock)) }
    return (store, keys)
  }

  /// More blocks than are announced at first, and again once the reader tries without; more than are on their way at once, in
  /// runs and alone.
  @Test(arguments: [BlockReadChoice.cached, .direct], dimensions)
  func rowsAreTheSame(_ choice: BlockReadChoice, dimension: Int) throws {
    try withTemporaryDirectory { directory in
      let (store, all) = try makeFilled(directory, dimension: dimension)
      for keys in [all, stride(from: 1, to: all.count, by: 2).map { all[$0] }] {
        let fetcher = try store.makeFetcher(maximumRows: keys.count, choice)
        for _ in 0..<3 {
          let (rows, blocks) = try fetched(keys, store.layout, fetcher.fetch)
          #expect(blocks == keys.count)
          #expect(zip(keys, rows).allSatisfy { key, row in row[0] == Float(key.row) })
        }
      }
    }
  }

  /// LMDB's map shows at once what is written to the file, and so does a read past the cache.
  @Test(arguments: [BlockReadChoice.cached, .direct], dimensions)
  func damageIsFound(_ choice: BlockReadChoice, dimension: Int) throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: dimension)
      let fetcher = try store.makeFetcher(maximumRows: keys.count, choice)
      let block = store.geometry.block(of: keys[300])
      let place = try store.environment.read {
        try offset(of: #require(try $0.get(store.databases.tables[0], UInt64(block.row))))
      }
      try flip(store.path, at: [place + 2000])
      let rows = store.geometry.rows(of: block)
      for _ in 0..<2 {
        let error = try #require(message { _ = try fetched(keys, store.layout, fetcher.fetch) })
        #expect(error.kind == .corrupt)
        #expect(error.message.contains("rows \(rows.lowerBound) to \(rows.upperBound) of table C1"))
      }
      // What is not damaged can still be had, by the same fetcher.
      let others = keys.filter { store.geometry.block(of: $0) != block }
      #expect(try fetched(others, store.layout, fetcher.fetch).blocks == others.count)
    }
  }

  @Test func readsPastTheCacheSeeEachCommit() throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: 99)
      let fetcher = try store.makeFetcher(maximumRows: keys.count, .direct)
      for round in 1...3 {
        let changed = keys.enumerated().filter { $0.offset % 3 == round - 1 }.map(\.element)
        let row = [Float](repeating: Float(-round), count: store.layout.rowFloats)
        try commit(store, changed.map { ($0, row) }, dense: [], cursor: UInt64(round))
        try compactAll(store)
        let (rows, _) = try fetched(keys, store.layout, fetcher.fetch)
        for (index, (key, row)) in zip(keys, rows).enumerated() {
          #expect(row[0] == (index % 3 < round ? Float(-(index % 3 + 1)) : Float(key.row)))
        }
      }
    }
  }

  @Test func rowsThatWereNeverStoredHaveTheirInitialValues() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      let stored = RowKey(table: 1, row: 70)
      let row = [Float](repeating: 2, count: layout.rowFloats)
      try commit(store, [(stored, row)], dense: [], cursor: 1)
      try compactAll(store)
      let fetcher = try store.makeFetcher(maximumRows: 3, .direct)
      let keys = [RowKey(table: 0, row: 5), stored, RowKey(table: 1, row: 900)]
      let (rows, blocks) = try fetched(keys, layout, fetcher.fetch)
      #expect(blocks == 3 && rows[1] == row)
      for index in [0, 2] {
        let initial = AlignedBuffer<Float>(count: layout.rowFloats)
        layout.fillInitial(table: keys[index].table, row: keys[index].row, into: initial.base)
        #expect(rows[index] == Array(initial.prefix()))
      }
    }
  }

  /// Reads past the cache of a plain file: each comes back once with its bytes, and fewer of them where the file ends.
  @Test func eachReadComesBackOnce() throws {
    struct Stop: Error {}
    try withTemporaryDirectory { directory in
      let page = Geometry.pageBytes
      let path = directory.appendingPathComponent("file").path
      let bytes = (0..<300 * page + 100).map { UInt8(truncatingIfNeeded: $0 / page &* 7) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let file = try File(reading: path)
      guard let reads = DirectReads(file.descriptor, path: path) else {
        return print("no reads past the cache here: left out")
      }
      var seen = Array(repeating: 0, count: 301)
      var next = 0
      while seen.reduce(0, +) < 301 {
        while reads.hasRoom, next <= 300 {
          let count = min(1 + next % 4, 301 - next)
          try reads.queue(offset: next * page, count: count * page, tag: next)
          next += count
        }
        try reads.finish { tag, count, found in
          #expect(found.count == min(count, bytes.count - tag * page))
          #expect(found.elementsEqual(bytes[tag * page..<tag * page + found.count]))
          for index in 0..<count / page { seen[tag + index] += 1 }
        }
      }
      #expect(seen.allSatisfy { $0 == 1 })
      // After an error nothing is on its way, and there is room for as many as before.
      for number in 0..<DirectReads.depth { try reads.queue(offset: number * page, count: page, tag: number) }
      #expect(throws: Stop.self) { try reads.finish { _, _, _ in throw Stop() } }
      for number in 0..<DirectReads.depth { try reads.queue(offset: number * page, count: page, tag: number) }
      #expect(!reads.hasRoom)
    }
  }
}
