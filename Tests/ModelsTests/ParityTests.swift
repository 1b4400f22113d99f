import Foundation
import Models
import Primitives
import Testing

/// What `tools/fixtures/parity.py` writes.
private struct Fixture: Decodable {
  struct Feature: Decodable {
    let table: Int
    let isBag: Bool
  }
  struct Batch: Decodable {
    let dense: Numbers
    let entries: [[[Int]]]
    let labels: Numbers
    let weights: Numbers
  }
  struct Case: Decodable {
    let name: String
    let network: NetworkConfiguration
    let dimensions: [Int]
    let pooling: Pooling
    let rows: RowOptimizer
    let dense: DenseOptimizer
    let clipNorm: Float
    let hasWeights: Bool
    let positiveWeight: Float
    let initial: Numbers
    let initialTables: Numbers
    let losses: [Double]
    let parameters: Numbers
    let averages: Numbers
    let tables: Numbers
    let scores: Numbers
  }
  let seed: UInt64
  let denseCount: Int
  let tableRows: [Int]
  let features: [Feature]
  let batches: [Batch]
  let cases: [Case]

  static func read() throws -> Fixture {
    let file = try #require(
      Bundle.module.url(forResource: "parity", withExtension: "json", subdirectory: "Fixtures"))
    return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: file))
  }

  func specification(_ test: Case) -> ModelSpecification {
    var bags = 0
    let shapes = features.map { feature in
      defer { bags += feature.isBag ? 1 : 0 }
      return FeatureShape(table: feature.table, bag: feature.isBag ? bags : nil, pooling: test.pooling)
    }
    var result = ModelSpecification(
      network: test.network,
      shape: InputShape(denseCount: denseCount, features: shapes, dimensions: test.dimensions),
      rowOptimizer: test.rows, denseOptimizer: test.dense,
      clipNorm: test.clipNorm > 0 ? test.clipNorm : nil,
      seed: seed)
    result.classWeights.positive = test.positiveWeight
    return result
  }
}

/// Base64 of little-endian floats.
private struct Numbers: Decodable {
  let values: [Float]

  init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    let data = try #require(Data(base64Encoded: text))
    values = data.withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
    }
  }
}

@Suite("Parity with PyTorch")
struct ParityTests {
  @Test("ten steps of every model with every optimizer: losses, parameters, rows, averages and scores")
  func tenSteps() throws {
    let fixture = try Fixture.read()
    let kinds = Set(fixture.cases.map { "\($0.network.kind) \($0.rows.rule)" })
    #expect(kinds.count == ModelKind.allCases.count * RowOptimizer.Rule.allCases.count)
    #expect(Set(fixture.cases.map(\.dense.rule)) == Set(DenseOptimizer.Rule.allCases))
    for test in fixture.cases { try run(test, fixture) }
  }

  private func run(_ test: Fixture.Case, _ fixture: Fixture) throws {
    let specification = fixture.specification(test)
    let dimension = try specification.rowDimension()
    let storage = RowStorage(
      tableRows: fixture.tableRows, dimension: dimension,
      stateFloats: test.rows.stateFloats(dimension: dimension), seed: 0)
    // A row as the model knows it, without what lies between shorter weights and the state.
    let widths = test.dimensions.map { dimensions in
      let extra = [.logisticRegression, .factorizationMachine, .wideDeep, .deepFM].contains(test.network.kind)
      return (test.network.kind == .logisticRegression ? 0 : dimensions) + (extra ? 1 : 0)
    }
    let places = fixture.tableRows.indices.flatMap { table in
      (0..<fixture.tableRows[table]).flatMap { row in
        let first = storage.slot(table: table, row: row) * storage.rowFloats
        return first..<first + widths[table]
      }
    }
    #expect(places.count == test.initialTables.values.count, "\(test.name)")
    for (place, value) in zip(places, test.initialTables.values) { storage.buffer[place] = value }
    let batches = fixture.batches.map { batch in
      MixedBatch(
        dense: batch.dense.values, labels: batch.labels.values,
        weights: test.hasWeights ? batch.weights.values : nil, entries: batch.entries,
        features: specification.shape.features, storage)
    }
    let limits = BatchLimits(
      samples: batches.map(\.count).max() ?? 0, uniqueRows: batches.map(\.uniqueCount).max() ?? 0,
      entries: batches.map(\.entryCount).max() ?? 0)
    let model = try DenseModel(specification, limits: limits, workers: WorkerPool(threadCount: 2))
    var state = model.parameterArray
    #expect(model.parameterCount == test.initial.values.count, "\(test.name)")
    state.replaceSubrange(0..<test.initial.values.count, with: test.initial.values)
    try state.withUnsafeBytes { bytes throws in try model.load(bytes) }

    for (step, expected) in test.losses.enumerated() {
      let batch = batches[step % batches.count]
      let loss = try batch.train(model, step: step) / Double(batch.count)
      #expect(abs(loss - expected) <= 1e-5 * abs(expected), "\(test.name), step \(step)")
    }
    expectClose(
      Array(model.parameterArray.prefix(model.parameterCount)), test.parameters, "\(test.name), parameters")
    expectClose(places.map { storage.buffer[$0] }, test.tables, "\(test.name), rows")
    expectClose(
      Array(model.parameterArray.suffix(test.averages.values.count)), test.averages, "\(test.name), averages")
    expectClose(
      Array(batches[0].scores(model).prefix(test.scores.values.count)), test.scores, "\(test.name), scores")
  }

  /// Within 1e-5 relative, or 1e-7 beside zero, where a sum of opposite numbers has no relative precision.
  private func expectClose(_ values: [Float], _ expected: Numbers, _ what: String) {
    #expect(values.count == expected.values.count, "\(what)")
    for (index, (value, target)) in zip(values, expected.values).enumerated() {
      #expect(abs(value - target) <= max(1e-5 * abs(target), 1e-7), "\(what), number \(index)")
    }
  }
}
