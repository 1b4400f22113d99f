import BatchStore
import Foundation
import Models
import Primitives
import TestSupport
import Training

/// A small dataset of seeded random samples, written directly: skewed rows in three tables, some of them rare.
enum SmallDataset {
  static let tables = [
    TableLayout(name: "C1", rows: 30), TableLayout(name: "C2", rows: 900),
    TableLayout(name: "C3", rows: 20_000),
  ]
  static let denseCount = 3

  /// - Parameter batches: training batches; the last one is half full.
  static func write(
    to path: String, batches: Int, batchSize: Int, holdoutBatches: Int = 2, validBatches: Int = 0,
    seed: UInt64 = 1, tables: [TableLayout] = SmallDataset.tables, extending base: Dataset? = nil
  ) throws {
    let random = CounterRandom(seed: seed, stream: 5)
    let output = try PendingOutput(path)
    let writer = try DatasetWriter(
      to: output, content: DatasetContent(tables: tables, denseCount: denseCount), batchSize: batchSize,
      extending: base)
    let samples = SampleBatch(tableCount: tables.count, denseCount: denseCount, capacity: batchSize)
    var counter: UInt64 = 0
    func draw(_ bound: UInt64) -> UInt64 {
      counter += 1
      return random.below(bound, counter)
    }
    for index in 0..<batches + holdoutBatches + validBatches {
      let isLastOfTraining = index == batches - 1
      samples.sampleCount = isLastOfTraining ? max(1, batchSize / 2) : batchSize
      for sample in 0..<samples.sampleCount {
        for (table, layout) in tables.enumerated() {
          let range = draw(10) < 7 ? min(20, UInt64(layout.rows)) : UInt64(layout.rows)
          samples.rows[table * batchSize + sample] = UInt32(draw(range))
        }
        for column in 0..<denseCount {
          samples.dense[sample * denseCount + column] = Float(draw(1000)) / 500
        }
        samples.labels[sample] = draw(4) == 0 ? 1 : 0
      }
      let split: Split = index < batches ? .train : index < batches + holdoutBatches ? .holdout : .valid
      try writer.append(samples, to: split)
    }
    _ = try writer.finish()
  }

  static func configuration(
    rows: String = "rowwise_adagrad", dense: String = "adagrad", epochs: Int = 1, lookahead: Int = 4,
    threads: Int = 2
  ) -> Configuration {
    var configuration = Configuration()
    configuration.model.dimension = 4
    configuration.model.network.bottom = [8, 4]
    configuration.model.network.top = [16, 1]
    configuration.model.rows = RowOptimizer(RowOptimizer.Rule(rawValue: rows) ?? .sgd, learningRate: 0.05)
    configuration.model.dense = DenseOptimizer(
      DenseOptimizer.Rule(rawValue: dense) ?? .sgd, learningRate: 0.05)
    configuration.run.epochs = epochs
    configuration.run.lookahead = lookahead
    configuration.run.threads = threads
    return configuration
  }
}
