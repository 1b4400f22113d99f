import BatchStore
import Foundation
import Primitives
import TableStore
import TestSupport
import Testing

@testable import Training

@Suite struct InspectionTests {
  /// A dataset of random samples, and these samples: row of each table, label, dense feature.
  private func withSamples(
    _ body: (Dataset, _ rows: [[UInt32]], _ labels: [Float], _ training: Int) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let tables = [TableLayout(name: "A", rows: 40), TableLayout(name: "B", rows: 3000)]
      let random = CounterRandom(seed: 3, stream: 3)
      let training = 700
      let rows = (0..<850).map { sample in
        tables.enumerated().map { table, layout -> UInt32 in
          let draw = CounterRandom(CounterRandom(random, UInt64(table)), UInt64(sample))
          return UInt32(draw.below(draw.below(2, 0) == 0 ? 9 : UInt64(layout.rows), 1))
        }
      }
      let labels = (0..<850).map { Float(random.below(2, UInt64($0))) }
      let writer = try DatasetWriter(
        to: try PendingOutput(path), tables: tables, denseCount: 1, batchSize: 64)
      let samples = SampleBatch(tableCount: 2, denseCount: 1, capacity: 64)
      for part in [0..<training, training..<850] {
        for start in stride(from: part.lowerBound, to: part.upperBound, by: 64) {
          samples.sampleCount = min(64, part.upperBound - start)
          for index in 0..<samples.sampleCount {
            for table in 0..<2 { samples.rows[table * 64 + index] = rows[start + index][table] }
            samples.labels[index] = labels[start + index]
            samples.dense[index] = Float(start + index)
          }
          try writer.append(samples, to: start < training ? .train : .holdout)
        }
      }
      _ = try writer.finish()
      try body(Dataset(opening: path), rows, labels, training)
    }
  }

  @Test func tableUseIsWhatCountingByHandGives() throws {
    try withSamples { dataset, rows, _, training in
      let uses = try DatasetInspection(dataset).tables()
      #expect(uses.map(\.name) == ["A", "B"])
      for (table, use) in uses.enumerated() {
        var counts: [UInt32: Int] = [:]
        for sample in rows[..<training] { counts[sample[table], default: 0] += 1 }
        let sorted = counts.values.sorted(by: >)
        #expect(use.usedRows == counts.count)
        for (share, found) in zip(DatasetInspection.topShares, use.topShares) {
          let taken = Int((share * Double(sorted.count)).rounded(.up))
          #expect(found == Double(sorted[..<taken].reduce(0, +)) / Double(training))
        }
        #expect(use.once == counts.count { $0.key > 1 && $0.value == 1 })
        #expect(use.twice == counts.count { $0.key > 1 && $0.value == 2 })
        #expect(use.rare == Double(counts[0] ?? 0) / Double(training))
        #expect(use.missing == Double(counts[1] ?? 0) / Double(training))
        let unseen = rows[training...].count { $0[table] == 0 }
        #expect(use.unseenInHoldout == Double(unseen) / Double(rows.count - training))

        let most = try DatasetInspection(dataset).mostUsed(of: table, count: 25)
        let expected = counts.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
        #expect(most.map(\.row) == expected.prefix(25).map(\.key))
        #expect(most.map(\.uses) == expected.prefix(25).map(\.value))
      }
    }
  }

  @Test(arguments: [0..<1, 0..<850, 63..<65, 690..<710, 699..<700, 700..<701, 849..<850])
  func samplesComeBackAsTheyWereWritten(range: Range<Int>) throws {
    try withSamples { dataset, rows, labels, training in
      var numbers: [Int] = []
      try DatasetInspection(dataset).forEachSample(in: range) { sample in
        numbers.append(sample.number)
        #expect(sample.rows == rows[sample.number].map { [$0] } && sample.label == labels[sample.number])
        #expect(sample.dense == [Float(sample.number)])
        #expect(sample.split == (sample.number < training ? .train : .holdout))
      }
      #expect(numbers == Array(range))
    }
  }

  @Test(arguments: [850..<851, 849..<851, -1..<3])
  func samplesBeyondTheDatasetAreAnError(range: Range<Int>) throws {
    try withSamples { dataset, _, _, _ in
      let error = #expect(throws: ChanterError.self) {
        try DatasetInspection(dataset).forEachSample(in: range) { _ in }
      }
      #expect(error?.kind == .badInput)
    }
  }

  @Test func frequentRowsBeyondTheDirectCountsAreExact() {
    var counts = AccessCounts(rows: 5)
    for (row, uses) in [70_000, 1, 0, 65_536, 65_535].enumerated() {
      for _ in 0..<uses { counts.add(UInt32(row)) }
    }
    let frequencies = counts.byFrequency()
    #expect(frequencies.map(\.uses) == [70_000, 65_536, 65_535, 1])
    #expect(frequencies.allSatisfy { $0.rows == 1 })
    #expect(AccessCounts.shareOfTop(0.5, of: frequencies) == 135_536.0 / 201_072)
  }

  @Test func theTopListIsTheStartOfASort() {
    let random = CounterRandom(seed: 1, stream: 9)
    for capacity in [1, 3, 40, 500] {
      var top = TopList<Int>(capacity: capacity)
      // Few scores, so that keys decide often.
      let offers = (0..<300 as Range<UInt64>).map {
        (score: Int(random.below(20, $0)), key: random.bits($0 + 1000))
      }
      for offer in offers { top.offer(offer.score, offer.key) }
      let sorted = offers.sorted { $0.score != $1.score ? $0.score > $1.score : $0.key < $1.key }
      #expect(top.entries.map(\.key) == sorted.prefix(capacity).map(\.key))
    }
  }

  @Test(arguments: [
    (0.0, 0), (0.99e-8, 0), (1e-8, 1), (0.1, 22), (0.19999, 22), (0.2, 23), (4.9, 26), (1e9, 51),
  ])
  func normsFallIntoTheirBucket(norm: Double, bucket: Int) {
    var histogram = NormHistogram()
    histogram.add(norm)
    #expect(histogram.counts.firstIndex(of: 1) == bucket && histogram.total == 1)
    #expect(histogram.filled == bucket..<bucket + 1)
  }

  /// A model with rows in blocks, rows in chunks above them, and rows in chunks alone.
  private func withModel(_ body: (ModelInspection, [RowKey: [Float]]) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let data = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: data, batches: 4, batchSize: 8)
      let setup = try TrainingSetup(
        dataset: Dataset(opening: data), configuration: SmallDataset.configuration())
      let layout = setup.rowLayout
      let header = ModelHeader(configuration: SmallDataset.configuration(), dataset: setup.dataset)
      let path = directory.appendingPathComponent("model").path
      let store = try ModelStore.create(
        at: path, header: header.json, layout: layout, dense: UnsafeRawBufferPointer(start: nil, count: 0),
        cursor: 0)
      let random = CounterRandom(seed: 8, stream: 8)
      var rows: [RowKey: [Float]] = [:]
      for (commit, count) in [40, 30, 20].enumerated() {
        let keys = Set(
          (0..<count).map { index in
            let draw = CounterRandom(CounterRandom(random, UInt64(commit)), UInt64(index))
            let table = Int(draw.below(3, 0))
            return RowKey(table: table, row: UInt32(draw.below(UInt64(layout.tables[table].rows), 1)))
          }
        ).sorted()
        var values: [Float] = []
        for (position, key) in keys.enumerated() {
          rows[key] = (0..<layout.rowFloats).map {
            Float(random.uniform(UInt64(commit * 1000 + position * 10 + $0))) - 0.4
          }
          values += rows[key]!
        }
        _ = try store.commit(
          keys: keys, order: keys.indices.map { UInt32($0) }, count: keys.count, rows: values,
          dense: UnsafeRawBufferPointer(start: nil, count: 0), cursor: UInt64(commit + 1))
        if commit == 0 { _ = try store.compactAll(maximumBlocks: 1000, stop: StopSignal()) }
      }
      // One row that is back at its initial value, and one each with a NaN and an infinity.
      let odd = rows.keys.sorted().suffix(3)
      var values: [Float] = []
      for (kind, key) in odd.enumerated() {
        var row = [Float](repeating: 0, count: layout.rowFloats)
        layout.fillInitial(table: key.table, row: key.row, into: &row)
        if kind > 0 { row[kind] = kind == 1 ? .nan : .infinity }
        rows[key] = kind == 0 ? nil : row
        values += row
      }
      _ = try store.commit(
        keys: Array(odd), order: [0, 1, 2], count: 3, rows: values,
        dense: UnsafeRawBufferPointer(start: nil, count: 0), cursor: 4)
      try withExtendedLifetime(store) { try body(ModelInspection(path), rows) }
    }
  }

  private func norm(_ row: [Float]) -> Double {
    row[..<4].reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  }

  @Test func aModelHoldsWhatWasCommitted() throws {
    try withModel { model, rows in
      let (contents, chunks) = try model.contents()
      #expect(model.commits.last.commit == 4 && model.commits.last.cursor == 4 && model.commits.isOne)
      #expect(chunks.values == 3)
      for (table, found) in contents.enumerated() {
        let own = rows.filter { $0.key.table == table }
        #expect(found.changedRows == own.count)
        #expect(found.nonFiniteRows == own.values.count { !$0.allSatisfy(\.isFinite) })
        let norms = own.values.filter { $0.allSatisfy(\.isFinite) }.map(norm)
        #expect(found.norms.total == norms.count)
        #expect(found.norms.smallest == norms.min() && found.norms.largest == norms.max())
        #expect(found.blocks.bytes >= found.blocks.values * 4096)
        let alone = try model.contents(of: table).tables
        #expect(alone.count == 1 && alone[0].norms == found.norms && alone[0].changedRows == own.count)
      }
      let finite = rows.filter { norm($0.value).isFinite }
      for table in [nil, 1, 2] {
        let expected = finite.filter { table == nil || $0.key.table == table }
          .sorted { (norm($0.value), $1.key) > (norm($1.value), $0.key) }
        let found = try model.largestNorms(of: table, count: 7)
        #expect(found.map(\.key) == expected.prefix(7).map(\.key))
        #expect(found.map(\.score) == expected.prefix(7).map { norm($0.value) })
      }
    }
  }

  @Test func rowsAndTheirNeighboursAreExact() throws {
    try withModel { model, rows in
      for (key, values) in rows {
        let row = try model.row(key)
        #expect((row.weights + row.state).map(\.bitPattern) == values.map(\.bitPattern))
        #expect(row.isChanged)
        let neighbours = try model.neighbours(of: row, count: 5)
        guard norm(values).isFinite else {
          #expect(neighbours.isEmpty)
          continue
        }
        let expected = rows.filter { $0.key.table == key.table && $0.key != key && norm($0.value).isFinite }
          .map { other, weights in
            let product = (0..<4).reduce(0.0) { $0 + Double(values[$1]) * Double(weights[$1]) }
            return (score: product / (norm(values) * norm(weights)), key: other)
          }.sorted { ($0.score, $1.key) > ($1.score, $0.key) }
        #expect(neighbours.map(\.key) == expected.prefix(5).map(\.key))
        #expect(neighbours.map(\.score) == expected.prefix(5).map(\.score))
      }
      let untouched = try #require((2..<20_000).map { RowKey(table: 2, row: $0) }.first { rows[$0] == nil })
      #expect(try !model.row(untouched).isChanged)
      // Row 0 starts at zero, so it has no direction.
      let zero = RowKey(table: 2, row: 0)
      if rows[zero] == nil { #expect(try model.neighbours(of: model.row(zero), count: 5).isEmpty) }
    }
  }
}
