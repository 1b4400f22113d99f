import BatchStore
import Foundation
import Models
import Primitives
import TestSupport
import Testing

@testable import Training

/// Out-of-core training against the plain trainer, for every model with every optimizer.
@Suite struct ModelGridTests {
  static let configurations: [Configuration] = {
    var result: [Configuration] = []
    func add(
      _ kind: ModelKind, _ rows: RowOptimizer.Rule, _ dense: DenseOptimizer.Rule,
      _ change: (inout ModelConfiguration) -> Void = { _ in }
    ) {
      var configuration = Configuration()
      configuration.model.network = NetworkConfiguration(kind)
      configuration.model.network.bottom = [6, 4]
      configuration.model.network.top = [5, 1]
      configuration.model.network.hidden = [8, 5]
      configuration.model.network.crossLayers = 2
      configuration.model.dimension = 4
      configuration.model.rows = RowOptimizer(rows, learningRate: 0.02, weightDecay: 0.01)
      configuration.model.dense = DenseOptimizer(
        dense, learningRate: 0.02, momentum: dense == .sgd ? 0.9 : 0, weightDecay: 0.01)
      change(&configuration.model)
      result.append(configuration)
    }
    for kind in ModelKind.allCases {
      for rows in RowOptimizer.Rule.allCases {
        add(kind, rows, DenseOptimizer.Rule(rawValue: rows.rawValue) ?? .sgd)
      }
    }
    for kind in [ModelKind.mlp, .deepFM, .dcnV2] {
      add(kind, .adam, .adam) {
        $0.network.batchNorm = true
        $0.network.dropout = 0.3
        $0.clipNorm = 0.1
        $0.rows.l2 = 0.01
        $0.dense.l2 = 0.01
      }
    }
    add(.wideDeep, .rowwiseAdagrad, .adagrad) {
      $0.network.layerNorm = true
      $0.network.activation = .gelu
      $0.pooling = .sum
      $0.dimensions = [.init(table: "C2", dimension: 7)]
    }
    add(.dlrm, .adagrad, .sgd) { $0.network.interaction = .cat }
    add(.dcnV2, .adam, .adam) {
      $0.network.crossRank = 2
      $0.network.structure = .stacked
    }
    return result
  }()

  @Test func everyModelAndOptimizerIsExactOutOfCore() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try MixedDataset.write(to: path, batches: 8, batchSize: 72)
      var digests: Set<String> = []
      for (number, configuration) in Self.configurations.enumerated() {
        var configuration = configuration
        let plain = try Harness(path, configuration).plainDigest(12)
        digests.insert(plain)
        // Budgets, lookaheads and thread counts take turns; a part of the runs stops on the way and goes on.
        for turn in 0..<2 {
          configuration.run.lookahead = [1, 4, 2][(number + turn) % 3]
          configuration.run.threads = (number + 2 * turn) % 3 + 1
          let harness = try Harness(
            path, configuration, commitInterval: 3 + turn, extraRows: turn == 0 ? 5 : 200)
          let model = directory.appendingPathComponent("model-\(number)-\(turn)").path
          if turn == 1 { try harness.train(model, until: 5) }
          try harness.train(model, until: 12)
          #expect(try Harness.digest(model) == plain, "\(configuration.model.text)")
          try FileManager.default.removeItem(atPath: model)
        }
      }
      #expect(digests.count == Self.configurations.count)
    }
  }

  @Test(arguments: ModelKind.allCases, [true, false])
  func oneKindOfFeaturesIsExactToo(kind: ModelKind, hasDense: Bool) throws {
    if hasDense, [.factorizationMachine, .deepFM].contains(kind) { return }
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try MixedDataset.write(
        to: path, batches: 5, batchSize: 72, denseCount: hasDense ? 2 : 0, hasTables: !hasDense)
      let configuration = try #require(Self.configurations.first { $0.model.network.kind == kind })
      let harness = try Harness(path, configuration, commitInterval: 2)
      let model = directory.appendingPathComponent("model").path
      try harness.train(model, until: 3)
      try harness.train(model, until: 8)
      #expect(try Harness.digest(model) == harness.plainDigest(8))
    }
  }

  @Test func aRunThatDivergesStopsAtItsBatchAndKeepsTheLastCommit() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let model = directory.appendingPathComponent("model").path
      try MixedDataset.write(to: path, batches: 8, batchSize: 72)
      var configuration = try #require(Self.configurations.first { $0.model.network.kind == .mlp })
      let harness = try Harness(path, configuration, commitInterval: 2)
      let error = #expect(throws: ChanterError.self) {
        try harness.train(
          model, until: 8,
          observer: { step in
            if step.step == 4 {
              for position in 0..<step.batch.uniqueCount where step.batch.keys[position].table == 1 {
                step.input.rows[Int(step.input.slots[position]) * step.input.rowFloats] = .infinity
              }
            }
          })
      }
      #expect(
        error?.message.hasPrefix("batch 6: table C2 is infinite") == true, "\(String(describing: error))")
      #expect(try Harness.cursor(model) == 4)
      #expect(try Harness.digest(model) == harness.plainDigest(4))
      // A learning rate that no number survives.
      configuration.model.rows.learningRate = 1e30
      configuration.model.dense.learningRate = 1e30
      let wild = try Harness(path, configuration, commitInterval: 2)
      let second = directory.appendingPathComponent("second").path
      let divergence = #expect(throws: ChanterError.self) { try wild.train(second, until: 8) }
      #expect(divergence?.message.contains("infinite or not a number") == true)
      #expect(divergence?.message.contains("clip_norm") == true)
    }
  }
}

/// A small dataset with every kind of feature: two single ones, a bag that shares the second one's table, a bag of its own,
/// and sample weights.
enum MixedDataset {
  static let tables = [
    TableLayout(name: "C1", rows: 20), TableLayout(name: "C2", rows: 300), TableLayout(name: "C3", rows: 50),
  ]

  static func write(
    to path: String, batches: Int, batchSize: Int, denseCount: Int = 2, hasTables: Bool = true
  ) throws {
    let tables = hasTables ? tables : []
    let features =
      [
        FeatureLayout(name: "C1", table: 0), FeatureLayout(name: "C2", table: 1),
        FeatureLayout(name: "C2 before", table: 1, isBag: true),
        FeatureLayout(name: "C3", table: 2, isBag: true),
      ]
    var content = DatasetContent(
      tables: tables, features: hasTables ? features : [], denseCount: denseCount)
    content.hasWeights = true
    let writer = try DatasetWriter(to: PendingOutput(path), content: content, batchSize: batchSize)
    let shape = SampleShape(
      tableCount: tables.count, features: content.features, denseCount: denseCount, hasWeights: true)
    let random = CounterRandom(seed: 3, stream: 5)
    var counter: UInt64 = 0
    func draw(_ bound: UInt32) -> UInt32 {
      counter += 1
      return UInt32(random.below(UInt64(bound), counter))
    }
    for index in 0..<batches {
      let samples = SampleBatch(shape: shape, capacity: batchSize)
      samples.sampleCount = index == batches - 1 ? batchSize / 2 : batchSize
      for sample in 0..<samples.sampleCount {
        for feature in 0..<(hasTables ? 2 : 0) {
          samples.rows[feature * batchSize + sample] = draw(draw(3) == 0 ? tables[feature].rows : 8)
        }
        for (bag, rows) in zip(samples.bags, [300, 50] as [UInt32]) {
          bag.set(sample, (0..<draw(4)).map { _ in draw(rows) })
        }
        for column in 0..<denseCount {
          samples.dense[sample * denseCount + column] = Float(draw(1000)) / 500 - 1
        }
        samples.labels[sample] = Float(draw(4) / 3)
        samples.weights[sample] = Float(1 + draw(3)) / 2
      }
      try writer.append(samples, to: .train)
    }
    _ = try writer.finish()
  }
}
