import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// Both ways to read blocks, through the system's cache and past it, give the same rows and find the same damage.
@Suite struct BlockReaderTests {
  /// Rows of 400 bytes, ten to a block, or of 408, which go four pages to a block.
  private static let dimensions = [99, 101]
  /// Bytes of the file from which on it is read past the cache: never, and always where that can be.
  private static let ways = canReadPastCache ? [Int.max, 0] : [Int.max]
  private static let canReadPastCache =
    (try? withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("file").path
      try Data(count: Geometry.pageBytes).write(to: URL(fileURLWithPath: path))
      let file = try File(reading: path)
      return withExtendedLifetime(file) { DirectReads(file.descriptor) != nil }
    }) ?? false

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

  /// Whether nothing that can be asked here forbids reads past the cache. Systems that have this setting have such reads.
  private static let mustReadPastCache =
    (try? String(contentsOfFile: "/proc/sys/kernel/io_uring_disabled", encoding: .utf8)) == "0\n"
    && (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8))?.contains("\nSeccomp:\t0\n")
      == true

  /// Otherwise the tests of these reads would be left out unnoticed if none was possible any more.
  @Test(.enabled(if: mustReadPastCache)) func readsPastTheCacheArePossible() {
    #expect(Self.canReadPastCache)
  }

  /// More blocks than are announced at first, and again once the reader tries without; more than are on their way at once, in
  /// runs and alone.
  @Test(arguments: ways, dimensions)
  func rowsAreTheSame(directAbove: Int, dimension: Int) throws {
    try withTemporaryDirectory { directory in
      let (store, all) = try makeFilled(directory, dimension: dimension)
      for keys in [all, stride(from: 1, to: all.count, by: 2).map { all[$0] }] {
        let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: directAbove)
        for _ in 0..<3 {
          let (rows, blocks) = try fetched(keys, store.layout, fetcher.fetch)
          #expect(blocks == keys.count)
          #expect(zip(keys, rows).allSatisfy { key, row in row[0] == Float(key.row) })
        }
      }
    }
  }

  /// LMDB's map shows at once what is written to the file, and so does a read past the cache.
  @Test(arguments: ways, dimensions)
  func damageIsFound(directAbove: Int, dimension: Int) throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: dimension)
      let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: directAbove)
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

  /// The reads that were on their way belong to nothing that is asked for later.
  @Test(arguments: ways) func anErrorBetweenReadsLeavesNone(directAbove: Int) throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: 99)
      let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: directAbove)
      // A block that is too short is found while others are being read.
      try store.environment.write {
        _ = try $0.reserve(store.databases.tables[0], UInt64(700), count: 3000, "put")
      }
      for _ in 0..<2 {
        let error = try #require(message { _ = try fetched(keys, store.layout, fetcher.fetch) })
        #expect(error.kind == .corrupt)
        let few = Array(keys[5..<8])
        #expect(try fetched(few, store.layout, fetcher.fetch).0.map { $0[0] } == few.map { Float($0.row) })
      }
    }
  }

  /// The file passes the limit with a commit.
  @Test(.enabled(if: canReadPastCache)) func theFileMayOutgrowTheMemory() throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: 99)
      let limit = store.environment.fileBytes
      let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: limit)
      for round in 1...3 {
        let row = [Float](repeating: Float(-round), count: store.layout.rowFloats)
        try commit(store, keys.map { ($0, row) }, dense: [], cursor: UInt64(round))
        try compactAll(store)
        #expect(store.environment.fileBytes > limit)
        let (rows, _) = try fetched(keys, store.layout, fetcher.fetch)
        #expect(rows.allSatisfy { $0 == row })
      }
    }
  }

  /// What a fetch sees is whole, and not older than what one before saw, whatever is written meanwhile.
  @Test(arguments: ways) func fetchesGoOnBesideCommits(directAbove: Int) throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: 99)
      let all = (0..<15_000).map { RowKey(table: 0, row: UInt32($0)) }
      let rounds = 6
      let isWritten = Monitor(false)
      let writer = NamedThread("writer") {
        defer { isWritten.update { $0 = true } }
        for round in 1...rounds {
          let row = [Float](repeating: Float(20_000 + round), count: store.layout.rowFloats)
          try commit(store, all.map { ($0, row) }, dense: [], cursor: UInt64(round))
          let compaction = try #require(try store.makeCompaction(maximumBlocks: 300))
          while try !compaction.step() {}
        }
      }
      let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: directAbove)
      var newest = keys.map { Float($0.row) }
      var isLast = false
      var between = 0
      while !isLast {
        isLast = isWritten.read { $0 }
        if !isLast { between += 1 }
        let (rows, _) = try fetched(keys, store.layout, fetcher.fetch)
        for (index, row) in rows.enumerated() {
          #expect(row[0] >= newest[index])
          #expect(row[0] < 20_000 || row.allSatisfy { $0 == row[0] })
          newest[index] = row[0]
        }
      }
      #expect(between > 0 && newest.allSatisfy { $0 == Float(20_000 + rounds) })
      #expect(writer.join() == nil)
    }
  }

  @Test(.enabled(if: canReadPastCache)) func readsPastTheCacheSeeEachCommit() throws {
    try withTemporaryDirectory { directory in
      let (store, keys) = try makeFilled(directory, dimension: 99)
      let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: 0)
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
      let fetcher = try store.makeFetcher(maximumRows: 3, directAbove: 0)
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
  @Test(.enabled(if: canReadPastCache)) func eachReadComesBackOnce() throws {
    try withTemporaryDirectory { directory in
      let page = Geometry.pageBytes
      let path = directory.appendingPathComponent("file").path
      let bytes = (0..<300 * page + 100).map { UInt8(truncatingIfNeeded: $0 / page &* 7) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let file = try File(reading: path)
      let reads = try #require(DirectReads(file.descriptor))
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
    }
  }

  /// A wait that a signal ends early is gone on with: no read is taken to have ended before it has.
  @Test(.enabled(if: canReadPastCache)) func signalsDisturbNoRead() throws {
    try withTemporaryDirectory { directory in
      let page = Geometry.pageBytes
      let path = directory.appendingPathComponent("file").path
      let bytes = (0..<64 * page).map { UInt8(truncatingIfNeeded: $0 / page + 1) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let file = try File(reading: path)
      // Without a wish to restart what was interrupted.
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in }
      var usual = sigaction()
      sigaction(SIGUSR1, &action, &usual)
      let reader = pthread_self()
      let isDone = Monitor(false)
      let disturber = NamedThread("disturber") {
        while !isDone.read({ $0 }) {
          pthread_kill(reader, SIGUSR1)
          usleep(50)
        }
      }
      defer {
        isDone.update { $0 = true }
        _ = disturber.join()
        sigaction(SIGUSR1, &usual, nil)
      }
      for _ in 0..<200 {
        let reads = try #require(DirectReads(file.descriptor))
        for number in 0..<64 { try reads.queue(offset: number * page, count: page, tag: number) }
        var ended = 0
        while ended < 64 {
          try reads.finish { tag, count, found in
            #expect(found.count == page && found.first == UInt8(tag + 1) && found.last == UInt8(tag + 1))
            ended += 1
          }
        }
      }
    }
  }
}
