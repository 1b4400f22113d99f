import Primitives
import TestSupport
import Testing

@testable import Models

/// Small networks with every layer.
private enum Small {
  static let tableRows = [4, 7]
  static let kinds = ModelKind.allCases

  static func shape(_ kind: ModelKind) -> InputShape {
    InputShape(
      denseCount: 3,
      features: [
        FeatureShape(table: 0), FeatureShape(table: 1), FeatureShape(table: 1, bag: 0, pooling: .sum),
        FeatureShape(table: 0, bag: 1, pooling: .mean),
      ], dimensions: [3, 3])
  }

  static func network(_ kind: ModelKind) -> NetworkConfiguration {
    var network = NetworkConfiguration(kind)
    network.bottom = [4, 3]
    network.top = [5, 1]
    network.hidden = [6, 5]
    network.crossLayers = 2
    return network
  }

  static func specification(
    _ network: NetworkConfiguration, rows: RowOptimizer = RowOptimizer(.sgd, learningRate: 1),
    dense: DenseOptimizer = DenseOptimizer(.sgd, learningRate: 1)
  ) -> ModelSpecification {
    ModelSpecification(
      network: network, shape: shape(network.kind), rowOptimizer: rows, denseOptimizer: dense, seed: 5)
  }

  static func storage(_ specification: ModelSpecification, seed: UInt64 = 2) throws -> RowStorage {
    let dimension = try specification.rowDimension()
    return RowStorage(
      tableRows: tableRows, dimension: dimension,
      stateFloats: specification.rowOptimizer.stateFloats(dimension: dimension), seed: seed)
  }

  static func model(_ specification: ModelSpecification, samples: Int, threads: Int = 1) throws -> DenseModel
  {
    try DenseModel(
      specification, limits: BatchLimits(samples: samples, uniqueRows: 11, entries: samples * 8),
      workers: WorkerPool(threadCount: threads))
  }
}

@Suite("Networks")
struct NetworkTests {
  /// Every layer stands in one of these.
  static let networks: [NetworkConfiguration] = {
    var result = Small.kinds.map(Small.network)
    for activation in Activation.allCases where activation != .relu {
      var network = Small.network(.mlp)
      network.activation = activation
      result.append(network)
    }
    var network = Small.network(.mlp)
    network.batchNorm = true
    network.activation = .tanh
    result.append(network)
    network.batchNorm = false
    network.layerNorm = true
    result.append(network)
    network.dropout = 0.25
    result.append(network)
    network = Small.network(.dcnV2)
    network.crossRank = 2
    network.structure = .stacked
    result.append(network)
    network = Small.network(.dlrm)
    network.interaction = .cat
    result.append(network)
    return result
  }()

  /// What a step with a learning rate of 1 takes away is the gradient; the loss at points nearby tells it as well. In Float
  /// that is rough, but a missing or doubled term is far rougher; the parity test is fine.
  @Test(
    "gradients by every dense parameter and every row against differences of the loss", arguments: networks)
  func gradients(network: NetworkConfiguration) throws {
    let specification = Small.specification(network)
    let count = 12
    let storage = try Small.storage(specification)
    let model = try Small.model(specification, samples: count)
    let batch = MixedBatch.random(
      count: count, shape: specification.shape, storage: storage, seed: 3, weighted: true)
    let parameters = model.parameterArray
    let rows = storage.buffer.array
    func loss(_ parameters: [Float], _ rows: [Float]) throws -> Double {
      try parameters.withUnsafeBytes { bytes throws in try model.load(bytes) }
      for (index, value) in rows.enumerated() { storage.buffer[index] = value }
      return try batch.train(model, step: 4) / Double(count)
    }
    _ = try loss(parameters, rows)
    let gradient = zip(parameters, model.parameterArray).map { $0 - $1 }
    let rowGradient = zip(rows, storage.buffer.array).map { $0 - $1 }
    let step: Float = 5e-4
    func slope(_ change: (Float) throws -> Double) rethrows -> Double {
      (try change(step) - change(-step)) / (2 * Double(step))
    }
    var checked = 0
    for index in 0..<model.parameterCount {
      let estimate = try slope { difference in
        var moved = parameters
        moved[index] += difference
        return try loss(moved, rows)
      }
      #expect(abs(estimate - Double(gradient[index])) < 2e-3, "parameter \(index)")
      checked += abs(gradient[index]) > 1e-2 ? 1 : 0
    }
    for index in rows.indices {
      let estimate = try slope { difference in
        var moved = rows
        moved[index] += difference
        return try loss(parameters, moved)
      }
      #expect(abs(estimate - Double(rowGradient[index])) < 2e-3, "row float \(index)")
      checked += abs(rowGradient[index]) > 1e-2 ? 1 : 0
    }
    #expect(checked > 4)
  }

  @Test("the same bits for 1, 2 and 3 threads, with more chunks than lanes", arguments: networks)
  func threads(network: NetworkConfiguration) throws {
    var results: [[Float]] = []
    for threads in 1...3 {
      var specification = Small.specification(
        network, rows: RowOptimizer(.adam, learningRate: 0.01),
        dense: DenseOptimizer(.adam, learningRate: 0.01))
      specification.clipNorm = 0.05
      let storage = try Small.storage(specification)
      let model = try Small.model(specification, samples: 700, threads: threads)
      for step in 0..<3 {
        let batch = MixedBatch.random(
          count: [700, 65, 1][step], shape: specification.shape, storage: storage, seed: UInt64(step))
        _ = try batch.train(model, step: step)
      }
      results.append(model.parameterArray + storage.buffer.array)
    }
    #expect(results[1] == results[0] && results[2] == results[0])
    #expect(results[0].allSatisfy { $0.isFinite })
  }

  @Test(
    "a sample's score has the same bits in every batch, also beside a training chunk", arguments: networks)
  func scores(network: NetworkConfiguration) throws {
    let specification = Small.specification(network, dense: DenseOptimizer(.sgd, learningRate: 0.1))
    let storage = try Small.storage(specification)
    let model = try Small.model(specification, samples: 80, threads: 2)
    func batch(_ samples: [Int]) -> MixedBatch {
      let shape = specification.shape
      let random = CounterRandom(seed: 8, stream: 1)
      func part(_ sample: Int, _ feature: Int) -> CounterRandom {
        CounterRandom(CounterRandom(random, UInt64(sample)), UInt64(feature))
      }
      return MixedBatch(
        dense: samples.flatMap { randomFloats(shape.denseCount, seed: UInt64($0)) },
        labels: samples.map { Float($0 % 2) }, weights: nil,
        entries: shape.features.indices.map { index in
          samples.map { sample in
            let draws = part(sample, index)
            let feature = shape.features[index]
            return (0..<(feature.bag == nil ? 1 : Int(draws.below(4, 0)))).map {
              Int(draws.below(UInt64(Small.tableRows[feature.table]), UInt64($0 + 1)))
            }
          }
        }, features: shape.features, storage)
    }
    _ = try batch(Array(0..<80)).train(model, step: 0)
    let expected = batch(Array(0..<150)).scores(model)
    #expect(Set(expected).count > 100)
    #expect(batch((0..<150).reversed()).scores(model) == expected.reversed())
    for first in [1, 5, 17, 64, 149] {
      #expect(batch(Array(first..<150)).scores(model) == Array(expected[first...]))
    }
  }

  @Test("the bytes promised are the bytes allocated", arguments: networks, [0, 100, 700])
  func memory(network: NetworkConfiguration, samples: Int) throws {
    for clipNorm in [nil, 1] as [Float?] {
      for rule in DenseOptimizer.Rule.allCases {
        var specification = Small.specification(
          network, dense: DenseOptimizer(rule, learningRate: 1, momentum: 0.5))
        specification.clipNorm = clipNorm
        let limits =
          samples == 0 ? .none : BatchLimits(samples: samples, uniqueRows: 11, entries: 8 * samples)
        let model = try DenseModel(
          specification, limits: limits, workers: WorkerPool(threadCount: 3))
        #expect(try specification.memoryBytes(limits: limits, threadCount: 3) == model.allocatedBytes)
        #expect(try specification.parameterByteCount() == model.parameterBytes.count)
      }
    }
  }

  @Test("dropout drops its share, anew in each batch, the same in each run, and nothing in prediction")
  func dropout() throws {
    let builder = NetworkBuilder(
      shape: InputShape(denseCount: 1, features: [], dimensions: []), seed: 1)
    let input = builder.makeValue(width: 103, needsGradient: true)
    let layer = Dropout(
      rate: 0.3, random: CounterRandom(seed: 1, stream: 3), input: input,
      output: builder.makeValue(width: 103, needsGradient: true))
    func pass(step: Int, first: Int) -> [Float] {
      let arena = AlignedBuffer<Float>(Array(repeating: 1, count: 2 * 103 * 64 + 64))
      let places = TrainingPlaces(
        [layer], values: builder.values, logit: layer.output, scratchFloats: 0, samples: 64)
      let storage = RowStorage(tableRows: [1], dimension: 1, stateFloats: 0, seed: 1)
      let batch = MixedBatch(
        dense: [0], labels: [0], weights: nil, entries: [], features: [], storage)
      let wide = AlignedBuffer<Float>(Array(repeating: 1, count: places.floats + arena.count))
      return withExtendedLifetime((batch, wide)) {
        let statistics = AlignedBuffer<Double>(count: 1)
        layer.forward(
          Pass(
            batch: batch.input, first: first, samples: 64, step: step, lane: 0, parameters: wide.base,
            gradients: wide.base, accumulate: false, rowGradients: wide.base, statistics: statistics.base,
            arena: wide.base, places: places,
            rowShape: RowShape(builder.shape, hasVectors: false, hasFirstOrder: false)))
        return (0..<64 * 103).map { wide[places.values[layer.output.index] + $0] }
      }
    }
    let values = pass(step: 0, first: 0)
    #expect(Set(values).count == 2)
    #expect(values.allSatisfy { $0 == 0 || abs($0 - 1 / 0.7) < 1e-4 })
    let dropped = Double(values.count { $0 == 0 }) / Double(values.count)
    #expect(abs(dropped - 0.3) < 0.02)
    #expect(pass(step: 0, first: 0) == values)
    #expect(pass(step: 1, first: 0) != values)
    #expect(pass(step: 0, first: 64) != values)
    // Where a sample stands among the chunks is no part of it.
    #expect(Array(pass(step: 0, first: 1).prefix(103)) == Array(values[103..<206]))
  }

  @Test("what cannot be trained is named: the table, the layer, the features")
  func nonFinite() throws {
    let specification = Small.specification(Small.network(.deepFM))
    func run(_ damage: (RowStorage, inout [Float]) -> Void) throws -> NonFinite? {
      let storage = try Small.storage(specification)
      let model = try Small.model(specification, samples: 70)
      var parameters = model.parameterArray
      damage(storage, &parameters)
      try parameters.withUnsafeBytes { bytes throws in try model.load(bytes) }
      let batch = MixedBatch.random(count: 70, shape: specification.shape, storage: storage, seed: 3)
      let before = storage.buffer.array
      do {
        _ = try batch.train(model, step: 0)
        return nil
      } catch let error as NonFinite {
        if !error.isAfterUpdate {
          let same = zip(storage.buffer.array, before).allSatisfy { $0.bitPattern == $1.bitPattern }
          #expect(same, "nothing is updated")
        }
        return error
      }
    }
    #expect(try run { _, _ in } == nil)
    let byTable = try run { storage, _ in
      for row in 0..<7 { storage.buffer[storage.slot(table: 1, row: row) * storage.rowFloats] = .nan }
    }
    #expect(byTable?.place == .table(1))
    let byLayer = try run { _, parameters in parameters[parameters.count - 1] = .infinity }
    if case .layer(_, let name) = byLayer?.place {
      #expect(name == "linear layer of 5 to 1")
    } else {
      Issue.record("the last layer, not \(String(describing: byLayer))")
    }
    let byUpdate = try run { storage, _ in
      storage.buffer[storage.slot(table: 0, row: 1) * storage.rowFloats] = 3e38
    }
    #expect(byUpdate != nil)
  }

  /// The loss stays finite there: numbers divided by an infinite deviation are zero.
  @Test(
    "a running average that overflows stops training, and the layer before it is named where it is to blame")
  func overflowInBatchNorm() throws {
    var network = Small.network(.mlp)
    network.batchNorm = true
    let specification = Small.specification(network)
    func error(_ value: Float) throws -> NonFinite? {
      let storage = try Small.storage(specification)
      let model = try Small.model(specification, samples: 150)
      let batch = MixedBatch.random(count: 150, shape: specification.shape, storage: storage, seed: 3)
      for row in 0..<7 { storage.buffer[storage.slot(table: 1, row: row) * storage.rowFloats] *= value }
      return #expect(throws: NonFinite.self) { try batch.train(model, step: 0) }
    }
    let overflow = try error(1e21)
    #expect(overflow == NonFinite(place: .layer(4, "batch normalisation"), isAfterUpdate: false))
    let infinite = try error(.infinity)
    #expect(infinite == NonFinite(place: .table(1), isAfterUpdate: false))
  }

  @Test("a batch whose gradients cannot be addressed is refused before anything is allocated")
  func tooManyGradients() throws {
    var specification = Small.specification(Small.network(.mlp))
    specification.shape = InputShape(denseCount: 0, tableCount: 250, dimension: 4_096)
    let limits = BatchLimits(samples: 4_194, uniqueRows: 1, entries: 1)
    _ = try specification.memoryBytes(limits: limits, threadCount: 1)
    let error = #expect(throws: ChanterError.self) {
      try specification.memoryBytes(
        limits: BatchLimits(samples: 4_195, uniqueRows: 1, entries: 1), threadCount: 1)
    }
    #expect(error?.message.hasPrefix("dimension: 4195 samples") == true)
  }

  @Test("samples that a model cannot be made of: the message begins with the key")
  func unfitting() {
    func message(_ network: NetworkConfiguration, _ shape: InputShape) -> String {
      let error = #expect(throws: ChanterError.self) {
        try ModelSpecification(
          network: network, shape: shape, rowOptimizer: RowOptimizer(.sgd, learningRate: 1),
          denseOptimizer: DenseOptimizer(.sgd, learningRate: 1), seed: 1
        ).validate()
      }
      return error?.message ?? ""
    }
    let plain = InputShape(denseCount: 2, tableCount: 3, dimension: 4)
    var uneven = plain
    uneven.dimensions[1] = 8
    let nothing = InputShape(denseCount: 0, features: [], dimensions: [])
    for kind in [ModelKind.factorizationMachine, .deepFM] {
      #expect(message(NetworkConfiguration(kind), uneven).hasPrefix("dimensions: "))
    }
    for kind in ModelKind.allCases where kind != .dlrm {
      #expect(message(NetworkConfiguration(kind), nothing).hasPrefix("model: "), "\(kind)")
    }
    var network = NetworkConfiguration(.dlrm)
    #expect(message(network, plain).hasPrefix("bottom: "))
    network.bottom = [4]
    #expect(message(network, uneven).hasPrefix("dimensions: "))
    // A stored model may claim anything.
    let strange = InputShape(denseCount: 1, features: [FeatureShape(table: 3)], dimensions: [4])
    #expect(message(network, strange).hasPrefix("features: "))
    for count in [-1, Int.max] {
      #expect(
        message(network, InputShape(denseCount: count, tableCount: 1, dimension: 4)).hasPrefix("features: "))
    }
    network.top = [3]
    #expect(message(network, plain).hasPrefix("top: "))
    network = NetworkConfiguration(.dcnV2)
    network.crossRank = 14
    #expect(message(network, plain).hasPrefix("cross_rank: "))
    #expect(
      message(network, InputShape(denseCount: 0, tableCount: 1, dimension: 5000)).hasPrefix("dimension: "))
  }

  @Test(
    "every model is made of dense features alone, of categorical ones alone, and trains",
    arguments: Small.kinds)
  func oneKindOfFeatures(kind: ModelKind) throws {
    for hasDense in [false, true] {
      if hasDense, [.factorizationMachine, .deepFM].contains(kind) { continue }
      var specification = Small.specification(Small.network(kind))
      specification.shape.denseCount = hasDense ? 3 : 0
      if hasDense { specification.shape.features = [] }
      let storage = try Small.storage(specification)
      let model = try Small.model(specification, samples: 70)
      let batch = MixedBatch.random(count: 70, shape: specification.shape, storage: storage, seed: 1)
      let first = try batch.train(model, step: 0)
      for step in 1..<4 { _ = try batch.train(model, step: step, factor: 0.1) }
      #expect(try batch.train(model, step: 4, factor: 0) < first)
      #expect(Set(batch.scores(model)).count > 10)
    }
  }
}

@Suite("Vector functions")
struct VectorFunctionTests {
  @Test("exponential, sigmoid and tanh against double precision")
  func accuracy() {
    for step in -8_800..<8_800 {
      let x = Float(step) * 0.01 + 0.003
      let vector = Vector(repeating: x)
      if x > -87, x < 88 { #expect(relative(exponential(vector)[3], exactExponential(Double(x))) < 4e-7) }
      #expect(relative(sigmoid(vector)[0], 1 / (1 + exactExponential(-Double(x)))) < 1e-6 || x < -86)
      #expect(abs(Double(hyperbolicTangent(vector)[7]) - exactTangent(Double(x))) < 3e-7)
    }
    for x: Float in [1e-20, 1e-3, 0.1, 0.6249, 0.6251] {
      #expect(relative(hyperbolicTangent(Vector(repeating: -x))[2], exactTangent(-Double(x))) < 3e-7)
    }
    #expect(exponential(Vector(repeating: .nan))[0].isNaN)
    #expect(sigmoid(Vector(repeating: 500))[0] == 1)
    #expect(hyperbolicTangent(Vector(repeating: -500))[0] == -1)
  }

  private func relative(_ value: Float, _ expected: Double) -> Double {
    abs(Double(value) / expected - 1)
  }
}
