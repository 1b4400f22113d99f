import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@Suite struct TraceTests {
  @Test func nextUseIsExactThenLogarithmic() {
    #expect(NextUse.encode(distance: 0) == 0)
    for distance in 0...32_767 {
      #expect(NextUse.distance(NextUse.encode(distance: distance)) == distance)
    }
    var previous: UInt16 = 0
    var distance = 32_768
    while distance < 1 << 31 {
      let code = NextUse.encode(distance: distance)
      let decoded = NextUse.distance(code)
      #expect(code >= previous && decoded <= distance && distance - decoded <= distance / 2048)
      previous = code
      distance += distance / 3000
    }
    #expect(NextUse.distance(.max) == 4095 << 19)
    #expect(NextUse.encode(distance: .max) == .max)
  }

  @Test func everyCodeStandsForItsOwnDistance() {
    for code in UInt16.min...UInt16.max { #expect(NextUse.encode(distance: NextUse.distance(code)) == code) }
  }

  /// Next uses, first touches and unions of random traces against the plain definition, in one partition and in many.
  @Test(arguments: [(1, 1), (2, 3), (5, 4), (16, 10), (33, 2), (40, 30)], [1 << 20, 64, 7])
  func hintsMatchTheNaiveOnes(shape: (Int, Int), rowsPerPartition: Int) throws {
    let (batches, batchSize) = shape
    let tables = [TableLayout(name: "a", rows: 40), TableLayout(name: "b", rows: 300)]
    let samples = batches * batchSize - batchSize / 2
    let train = ReferenceSplit(
      samples: samples, tables: tables, denseCount: 0, seed: UInt64(batches * 100 + batchSize))
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let manifest = try writeDataset(
        to: path, tables: tables, denseCount: 0, batchSize: batchSize, train: train,
        holdout: ReferenceSplit(samples: 0, tables: tables, denseCount: 0, seed: 0),
        rowsPerPartition: rowsPerPartition)
      let used = stride(from: 0, to: samples, by: batchSize).map { start in
        Set(
          train.rows[start..<min(start + batchSize, samples)].flatMap { rows in
            rows.enumerated().map { RowKey(table: $0, row: $1) }
          })
      }
      #expect(used.count == batches)
      let dataset = try Dataset(opening: path)
      let reader = try dataset.reader(.train)
      let batch = Batch(layout: reader.layout)
      for index in 0..<batches {
        try reader.read(index, into: batch)
        #expect(Set(batch.keys.prefix(batch.uniqueCount)) == used[index])
        for position in 0..<batch.uniqueCount {
          let key = batch.keys[position]
          let distance = (1...batches).first { used[(index + $0) % batches].contains(key) }
          #expect(NextUse.distance(batch.nextUse[position]) == distance)
          #expect((batch.firstTouch[position] == 1) == !used[..<index].contains { $0.contains(key) })
        }
      }
      var unions: [Int] = []
      var length = 1
      while length <= batches {
        unions.append(
          (0..<batches).map { start in
            Set((start..<start + length).flatMap { used[$0 % batches] }).count
          }.max() ?? 0)
        length *= 2
      }
      #expect(manifest.train.largestUnions == unions)
      #expect(manifest.train.maximumUniqueRows == unions[0])
    }
  }
}
