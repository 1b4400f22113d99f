import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@Suite struct RoundTripTests {
  struct Shape: CustomTestStringConvertible, Sendable {
    var rows: [UInt32]
    var dense: Int
    var batchSize: Int
    var train: Int
    var holdout: Int
    var testDescription: String { "\(rows) dense \(dense) batch \(batchSize) samples \(train)+\(holdout)" }
  }

  static let shapes = [
    Shape(rows: [3, 50, 70_000], dense: 3, batchSize: 32, train: 330, holdout: 70),
    Shape(rows: [2], dense: 0, batchSize: 1, train: 9, holdout: 1),
    Shape(rows: [1, 4_000_000_000], dense: 1, batchSize: 300, train: 1000, holdout: 0),
    Shape(rows: [], dense: 2, batchSize: 8, train: 17, holdout: 8),
    Shape(rows: [200_000], dense: 1, batchSize: 70_00, train: 7001, holdout: 3),
  ]

  @Test(arguments: shapes)
  func everySampleComesBackOnceAndInOrder(shape: Shape) throws {
    let tables = shape.rows.enumerated().map { TableLayout(name: "t\($0)", rows: $1) }
    let train = ReferenceSplit(samples: shape.train, tables: tables, denseCount: shape.dense, seed: 1)
    let holdout = ReferenceSplit(samples: shape.holdout, tables: tables, denseCount: shape.dense, seed: 2)
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      // Tiny segments, so that several files are used.
      let manifest = try writeDataset(
        to: path, tables: tables, denseCount: shape.dense, batchSize: shape.batchSize, train: train,
        holdout: holdout, segmentBytes: 3000)
      let dataset = try Dataset(opening: path)
      #expect(dataset.manifest == manifest)
      #expect(manifest.train.samples == shape.train && manifest.holdout.samples == shape.holdout)
      #expect(FileManager.default.fileExists(atPath: path + ".partial") == false)
      for (split, reference) in [(Split.train, train), (.holdout, holdout)] {
        let reader = try dataset.reader(split)
        let batch = Batch(layout: dataset.layout(of: split))
        var sample = 0
        for index in 0..<reader.batchCount {
          try reader.read(index, into: batch)
          #expect(batch.index == index)
          for position in 0..<batch.sampleCount {
            let rows = tables.indices.map { table -> UInt32 in
              let key = batch.keys[Int(batch.inverse[table * batch.sampleCount + position])]
              #expect(key.table == table)
              return key.row
            }
            #expect(rows == reference.rows[sample])
            #expect(
              (0..<shape.dense).map { batch.dense[position * shape.dense + $0] } == reference.dense[sample])
            #expect(batch.labels[position] == reference.labels[sample])
            sample += 1
          }
          for position in 1..<max(1, batch.uniqueCount) {
            #expect(batch.keys[position - 1] < batch.keys[position])
          }
        }
        #expect(sample == reference.labels.count)
      }
    }
  }

  @Test func batchesReadInAnyOrder() throws {
    let tables = [TableLayout(name: "a", rows: 100)]
    let train = ReferenceSplit(samples: 100, tables: tables, denseCount: 2, seed: 5)
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try writeDataset(
        to: path, tables: tables, denseCount: 2, batchSize: 10, train: train,
        holdout: ReferenceSplit(samples: 0, tables: tables, denseCount: 2, seed: 0), segmentBytes: 500)
      let dataset = try Dataset(opening: path)
      #expect(dataset.manifest.train.segments.count > 2)
      let reader = try dataset.reader(.train)
      let batch = Batch(layout: reader.layout)
      let forward = try (0..<10).map { index -> [UInt64] in
        try reader.read(index, into: batch)
        return contents(of: batch)
      }
      for index in [9, 0, 5, 5, 8, 1] {
        try reader.read(index, into: batch)
        #expect(contents(of: batch) == forward[index])
      }
    }
  }

  @Test func identitiesFollowContentAndNotHints() throws {
    let tables = [TableLayout(name: "a", rows: 100)]
    let none = ReferenceSplit(samples: 0, tables: tables, denseCount: 1, seed: 0)
    let samples = ReferenceSplit(samples: 50, tables: tables, denseCount: 1, seed: 5)
    var changed = samples
    changed.labels[30] = 1 - changed.labels[30]
    try withTemporaryDirectory { directory in
      func identity(_ name: String, _ samples: ReferenceSplit, _ batchSize: Int) throws -> Manifest {
        try writeDataset(
          to: directory.appendingPathComponent(name).path, tables: tables, denseCount: 1,
          batchSize: batchSize, train: samples, holdout: none)
      }
      let first = try identity("a", samples, 10)
      #expect(try identity("b", samples, 10) == first)
      let other = try identity("c", changed, 10)
      let rebatched = try identity("d", samples, 20)
      #expect(Set([first, other, rebatched].map(\.batchingIdentity)).count == 3)
      #expect(Set([first, other, rebatched].map(\.vocabularyIdentity)).count == 1)
    }
  }

  @Test func layoutCountsTheBytesOfABatch() {
    let shape = SampleShape(
      tableCount: 26,
      features: (0..<30).map { FeatureLayout(name: "\($0)", table: $0 % 26, isBag: $0 % 7 == 0) },
      denseCount: 13, hasTimes: true)
    let layout = BatchLayout(
      shape: shape, maximumSamples: 512, maximumUniqueRows: 4000, maximumEntries: 20_000)
    let batch = Batch(layout: layout)
    let bytes = [
      batch.tableOffsets.byteCount, batch.keys.byteCount, batch.nextUse.byteCount, batch.firstTouch.byteCount,
      batch.entryOffsets.byteCount, batch.inverse.byteCount, batch.bagOffsets.byteCount,
      batch.dense.byteCount, batch.labels.byteCount, batch.weights.byteCount, batch.times.byteCount,
    ]
    #expect(layout.bytes == bytes.reduce(0, +))
  }
}
