import Foundation
import Primitives
import TestSupport
import Testing

@testable import BatchStore

/// Several features a table, bags, weights and half precision, through spool, builder, encoder and back.
@Suite struct BagTests {
  struct Sample: Equatable {
    var rows: [[UInt32]]
    var dense: [Float]
    var label: Float
    var weight: Float
    var time: Int64
  }

  static let tables = [
    TableLayout(name: "a", rows: 30), TableLayout(name: "b", rows: 70_000), TableLayout(name: "c", rows: 5),
  ]
  static let features = [
    FeatureLayout(name: "bag of b", table: 1, isBag: true), FeatureLayout(name: "one of a", table: 0),
    FeatureLayout(name: "one of b", table: 1), FeatureLayout(name: "other of a", table: 0),
    FeatureLayout(name: "bag of c", table: 2, isBag: true),
  ]
  static let shape = SampleShape(
    tableCount: 3, features: features, denseCount: 2, hasWeights: true, hasTimes: true)

  static func samples(_ count: Int, seed: UInt64) -> [Sample] {
    let random = CounterRandom(seed: seed, stream: 12)
    return (0..<count).map { number in
      let own = CounterRandom(random, UInt64(number))
      var counter: UInt64 = 0
      func draw(_ bound: UInt64) -> UInt64 {
        counter += 1
        return own.below(bound, counter)
      }
      return Sample(
        rows: features.map { feature in
          // Some bags are empty, and some are long.
          let length = feature.isBag ? (draw(3) == 0 ? 0 : draw(9) == 0 ? 300 : draw(6)) : 1
          return (0..<length).map { _ in UInt32(draw(UInt64(tables[feature.table].rows))) }
        },
        dense: (0..<2).map { _ in Float(own.normal(1000 + draw(1000))) }, label: Float(draw(2)),
        weight: Float(1 + draw(1000)) / 64,
        // Within a second, or any 64 bits.
        time: number < 64 ? Int64(draw(1_000_000)) : Int64(bitPattern: own.bits(5000)))
    }
  }

  func fill(_ batch: SampleBatch, _ samples: ArraySlice<Sample>) {
    batch.sampleCount = samples.count
    for (position, sample) in samples.enumerated() {
      var bag = 0
      for (number, feature) in Self.features.enumerated() {
        if feature.isBag {
          batch.bags[bag].set(position, sample.rows[number])
          bag += 1
        } else {
          batch.rows[number * batch.capacity + position] = sample.rows[number][0]
        }
      }
      for column in 0..<2 { batch.dense[position * 2 + column] = sample.dense[column] }
      batch.labels[position] = sample.label
      batch.weights[position] = sample.weight
      batch.times[position] = sample.time
    }
  }

  func read(_ dataset: Dataset, _ split: Split) throws -> [Sample] {
    let reader = try dataset.reader(split)
    let batch = Batch(layout: reader.layout)
    var result: [Sample] = []
    for index in 0..<reader.batchCount {
      try reader.read(index, into: batch)
      for position in 1..<max(1, batch.uniqueCount) {
        #expect(batch.keys[position - 1] < batch.keys[position])
      }
      for sample in 0..<batch.sampleCount {
        var bag = 0
        let rows = Self.features.enumerated().map { number, feature -> [UInt32] in
          let start = Int(batch.entryOffsets[number])
          var entries = start + sample..<start + sample + 1
          if feature.isBag {
            let place = bag * (batch.sampleCount + 1) + sample
            entries = start + Int(batch.bagOffsets[place])..<start + Int(batch.bagOffsets[place + 1])
            bag += 1
          }
          return entries.map {
            let key = batch.keys[Int(batch.inverse[$0])]
            #expect(key.table == feature.table)
            return key.row
          }
        }
        result.append(
          Sample(
            rows: rows, dense: (0..<2).map { batch.dense[sample * 2 + $0] }, label: batch.labels[sample],
            weight: batch.weights[sample], time: batch.times[sample]))
      }
    }
    return result
  }

  @Test(arguments: [DensePrecision.fp32, .fp16], [1, 64, 300])
  func everyEntryComesBackInOrder(precision: DensePrecision, batchSize: Int) throws {
    let parts: [(Split, [Sample])] = [
      (.train, Self.samples(310, seed: 1)), (.valid, Self.samples(65, seed: 2)),
      (.holdout, Self.samples(3, seed: 3)),
    ]
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let output = try PendingOutput(path)
      var content = DatasetContent(tables: Self.tables, features: Self.features, denseCount: 2)
      content.densePrecision = precision
      content.hasWeights = true
      content.hasTimes = true
      let writer = try DatasetWriter(to: output, content: content, batchSize: batchSize, segmentBytes: 5000)
      for (split, samples) in parts {
        // Through a spool whose chunks are no multiple of the batches.
        let spool = try SampleSpool(temporaryIn: output.directory, shape: Self.shape, chunkSamples: 48)
        for start in stride(from: 0, to: samples.count, by: 48) {
          let chunk = SampleBatch(shape: Self.shape, capacity: 50)
          fill(chunk, samples[start..<min(start + 48, samples.count)])
          try spool.append([chunk], WorkerPool(threadCount: 1))
        }
        let reader = try SampleSpoolReader(spool)
        let batch = SampleBatch(shape: Self.shape, capacity: batchSize)
        for start in stride(from: 0, to: samples.count, by: batchSize) {
          try reader.read(start..<min(start + batchSize, samples.count), into: batch)
          try writer.append(batch, to: split)
        }
      }
      let manifest = try writer.finish()
      #expect(manifest.valid.samples == 65 && manifest.samples == 378)
      let dataset = try Dataset(opening: path)
      #expect(dataset.manifest == manifest && manifest.features == Self.features)
      for (split, samples) in parts {
        let expected = samples.map { sample -> Sample in
          var sample = sample
          if precision == .fp16 { sample.dense = sample.dense.map { Float(Float16($0)) } }
          return sample
        }
        #expect(try read(dataset, split) == expected)
      }
    }
  }

  /// All 65,536 halves: the decoder's arithmetic against the library's conversion.
  @Test func everyHalfWidensExactly() {
    for half in 0...UInt16.max {
      let expected = Float(Float16(bitPattern: half))
      let found = DenseColumnDecoder.widened(UInt32(half))
      #expect(found.bitPattern == expected.bitPattern || found.isNaN && expected.isNaN)
    }
  }

  @Test func whatAFrameCannotHoldIsRefused() throws {
    try withTemporaryDirectory { directory in
      var content = DatasetContent(tables: Self.tables, features: Self.features, denseCount: 2)
      content.densePrecision = .fp16
      content.hasWeights = true
      content.hasTimes = true
      let writer = try DatasetWriter(
        to: try PendingOutput(directory.appendingPathComponent("data").path), content: content, batchSize: 4)
      let batch = SampleBatch(shape: Self.shape, capacity: 4)
      func refused(_ change: () -> Void) -> ChanterError? {
        fill(batch, Self.samples(4, seed: 4)[...])
        change()
        return #expect(throws: ChanterError.self) { try writer.append(batch, to: .train) }
      }
      #expect(refused { batch.dense[3] = 65_520 }?.message.contains("dense column 2") == true)
      #expect(refused { batch.dense[2] = .nan }?.message.contains("dense column 1") == true)
      #expect(refused { batch.weights[1] = 0 }?.message.contains("weight") == true)
      #expect(refused { batch.weights[1] = .infinity }?.message.contains("weight") == true)
      #expect(refused { batch.bags[0].set(3, [70_000]) }?.message.contains("row 70000 in table b") == true)
    }
  }
}
