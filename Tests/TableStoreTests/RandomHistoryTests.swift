import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

@Suite struct RandomHistoryTests {
  /// Random commits, partial compactions and reopenings against a dictionary, all views compared after every step.
  @Test(arguments: [(1, 16, 1), (2, 16, 17), (3, 128, 1), (4, 1, 0)] as [(UInt64, Int, Int)])
  func agreesWithNaiveModel(seed: UInt64, dimension: Int, stateFloats: Int) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      let layout = testLayout(dimension: dimension, stateFloats: stateFloats)
      let random = CounterRandom(seed: seed, stream: 99)
      var truth = TruthModel(layout: layout, dense: [1, 2, 3])
      var store: ModelStore? = try makeStore(path, layout, dense: truth.dense)
      var compaction: Compaction?
      var commits: UInt64 = 0
      for step in 0..<UInt64(24) {
        let draw = CounterRandom(random, step)
        switch draw.below(8, 0) {
        case 0...3:
          // Now and then nothing but the cursor moves; the dense record changes its size.
          let count = draw.below(5, 1) == 0 ? 0 : Int(draw.below(40, 2))
          let rows = randomRows(CounterRandom(draw, 3), count: count, layout)
          truth.cursor += draw.below(64, 4)
          truth.dense = (0..<draw.below(9000, 5)).map { UInt8(truncatingIfNeeded: draw.bits(100 + $0)) }
          let result = try commit(store!, rows, dense: truth.dense, cursor: truth.cursor)
          commits += 1
          #expect(result.commit == commits)
          for (key, row) in rows { truth.rows[key] = row }
        case 4...6:
          if compaction == nil {
            compaction = try store!.makeCompaction(maximumBlocks: 1 + Int(draw.below(12, 6)))
          }
          if try compaction?.step() == true { compaction = nil }
        default:
          // As after a crash: whatever was under way is forgotten.
          compaction = nil
          store = nil
          store = try ModelStore.openForTraining(at: path)
        }
        try checkViews(store!, truth, draw)
      }
      compaction = nil
      try compactAll(store!)
      #expect(try store!.makeCompaction(maximumBlocks: 1) == nil)
      try checkViews(store!, truth, random)
      try checkFetcher(store!, truth, random)
    }
  }

  private func probes(_ truth: TruthModel, _ random: CounterRandom) -> [RowKey] {
    let known = truth.rows.keys.sorted()
    let some = (0..<UInt64(20)).compactMap { index in
      known.isEmpty ? nil : known[Int(random.below(UInt64(known.count), 1000 + index))]
    }
    let others = randomRows(CounterRandom(random, 77), count: 20, truth.layout).map(\.0)
    return Set(some + others).sorted()
  }

  private func checkViews(_ store: ModelStore, _ truth: TruthModel, _ random: CounterRandom) throws {
    let snapshot = try Snapshot(store)
    #expect(snapshot.cursor == truth.cursor)
    #expect(try snapshot.digest() == truth.digest())
    let keys = probes(truth, random)
    let (rows, _) = try fetched(keys, truth.layout, snapshot.fetch)
    for (key, row) in zip(keys, rows) { #expect(bits(row) == bits(truth.value(key))) }

    var dense = [UInt8](repeating: 0, count: truth.dense.count)
    try dense.withUnsafeMutableBytes { try snapshot.readDense(into: $0) }
    #expect(dense == truth.dense)

    // That all other rows have their initial value is what the digest says.
    var found = 0
    var previous: RowKey?
    var wrong = 0
    try snapshot.forEachStoredRow { key, pointer in
      if let previous, key <= previous { wrong += 1 }
      previous = key
      guard let expected = truth.rows[key] else { return }
      found += 1
      let row = Array(UnsafeBufferPointer(start: pointer, count: truth.layout.rowFloats))
      if bits(row) != bits(expected) { wrong += 1 }
    }
    #expect(wrong == 0)
    #expect(found == truth.rows.count)
  }

  private func checkFetcher(_ store: ModelStore, _ truth: TruthModel, _ random: CounterRandom) throws {
    let keys = probes(truth, random)
    let blocks = Set(keys.map { store.geometry.block(of: $0) }).count
    // Through the system's cache and past it.
    for directAbove in [Int.max, 0] {
      let fetcher = try store.makeFetcher(maximumRows: keys.count, directAbove: directAbove)
      for _ in 0..<2 {
        let (rows, count) = try fetched(keys, truth.layout, fetcher.fetch)
        #expect(count == blocks)
        for (key, row) in zip(keys, rows) { #expect(bits(row) == bits(truth.value(key))) }
      }
    }
  }

  /// A snapshot keeps its state whatever is committed, compacted and deleted after it.
  @Test func snapshotStaysAsItWas() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      let random = CounterRandom(seed: 5, stream: 1)
      var truth = TruthModel(layout: layout, dense: [])
      for (key, row) in randomRows(random, count: 30, layout) { truth.rows[key] = row }
      try commit(store, truth.rows.map { ($0.key, $0.value) }, dense: [], cursor: 0)
      let snapshot = try Snapshot(store)
      for round in 1...6 {
        try commit(
          store, randomRows(CounterRandom(random, UInt64(round)), count: 30, layout), dense: [9], cursor: 5)
        try compactAll(store, maximumBlocks: 9)
      }
      #expect(try snapshot.digest() == truth.digest())
      #expect(try Snapshot(store).digest() != truth.digest())
    }
  }

  /// A compaction leaves alone the chunks of commits made after it began.
  @Test func compactsOnlyWhatWasThereAtTheStart() throws {
    try withTemporaryDirectory { directory in
      let layout = testLayout()
      let store = try makeStore(directory.appendingPathComponent("model").path, layout, dense: [])
      let key = RowKey(table: 1, row: 70)
      let first = [Float](repeating: 1, count: layout.rowFloats)
      let second = [Float](repeating: 2, count: layout.rowFloats)
      try commit(store, [(key, first)], dense: [], cursor: 1)
      let compaction = try #require(try store.makeCompaction(maximumBlocks: 10))
      try commit(store, [(key, second)], dense: [], cursor: 2)
      #expect(compaction.through == 1)
      #expect(try compaction.step())
      #expect(compaction.blocksWritten == 1)
      #expect(compaction.bytesWritten == 4080)
      let fetcher = try store.makeFetcher(maximumRows: 1)
      #expect(try fetched([key], layout, fetcher.fetch).rows == [first])
      #expect(try fetched([key], layout, Snapshot(store).fetch).rows == [second])
      #expect(try store.makeCompaction(through: 1, maximumBlocks: 10) == nil)
      try compactAll(store)
      #expect(try fetched([key], layout, fetcher.fetch).rows == [second])
    }
  }
}
