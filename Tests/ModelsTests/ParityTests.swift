import Foundation
import Models
import Primitives
import Testing

/// What `tools/fixtures/dlrm_reference.py` writes.
private struct Fixture: Decodable {
  struct Batch: Decodable {
    let dense: [Float]
    /// Per table, the row of each sample.
    let rows: [[Int]]
    let labels: [Float]
  }
  struct Initial: Decodable {
    let dense: [Float]
    let tables: [[Float]]
  }
  struct Step: Decodable {
    let meanLoss: Double
    let dense: [Float]
    let denseState: [Float]
    let tables: [[Float]]
    let tableStates: [[Float]]
  }
  struct Case: Decodable {
    let name: String
    let initial: Initial
    let steps: [Step]
  }
  let configuration: DLRMShape
  let tableRows: [Int]
  let learningRate: Float
  let epsilon: Float
  let batches: [Batch]
  let cases: [Case]
}

@Suite("Parity with PyTorch")
struct ParityTests {
  @Test("three steps of DLRM: loss, parameters, rows and optimizer state", arguments: ["sgd", "adagrad"])
  func threeSteps(name: String) throws {
    let file = try #require(
      Bundle.module.url(forResource: "dlrm_reference", withExtension: "json", subdirectory: "Fixtures"))
    let fixture = try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: file))
    let reference = try #require(fixture.cases.first { $0.name == name })
    let (rate, epsilon) = (fixture.learningRate, fixture.epsilon)
    let rowOptimizer = RowOptimizer(
      name == "sgd" ? .sgd : .rowwiseAdagrad, learningRate: rate, epsilon: epsilon)
    let denseOptimizer = DenseOptimizer(
      name == "sgd" ? .sgd : .adagrad, learningRate: rate, epsilon: epsilon)
    let model = try DenseModel(
      fixture.configuration.specification(rows: rowOptimizer, dense: denseOptimizer),
      limits: BatchLimits(samples: 12, uniqueRows: 36, entries: 36), workers: WorkerPool(threadCount: 2))
    let state = Array(repeating: Float(0), count: denseOptimizer.stateFloats * model.parameterCount)
    try (reference.initial.dense + state).withUnsafeBytes { bytes throws in try model.load(bytes) }

    let dimension = fixture.configuration.dimension
    let storage = RowStorage(
      tableRows: fixture.tableRows, dimension: dimension,
      stateFloats: rowOptimizer.stateFloats(dimension: dimension), seed: 0)
    for (table, values) in reference.initial.tables.enumerated() {
      for (index, value) in values.enumerated() {
        let slot = storage.slot(table: table, row: index / dimension)
        storage.buffer[slot * storage.rowFloats + index % dimension] = value
      }
    }
    for (number, (batch, step)) in zip(fixture.batches, reference.steps).enumerated() {
      var samples = Samples(denseCount: fixture.configuration.denseCount, tableRows: fixture.tableRows)
      samples.dense = batch.dense
      samples.labels = batch.labels
      samples.rows = batch.labels.indices.map { sample in batch.rows.map { $0[sample] } }
      let count = batch.labels.count
      let loss = samples.batch(Array(0..<count), storage).step(model) / Double(count)
      #expect(abs(loss - step.meanLoss) <= 1e-5 * abs(step.meanLoss), "step \(number)")
      expectClose(model.parameterArray, step.dense + step.denseState, "dense, step \(number)")
      for (table, size) in fixture.tableRows.enumerated() {
        let rows = (0..<size).flatMap { storage.weights(table: table, row: $0) }
        expectClose(rows, step.tables[table], "table \(table), step \(number)")
        if rowOptimizer.rule == .rowwiseAdagrad {
          let states = (0..<size).map {
            storage.buffer[storage.slot(table: table, row: $0) * storage.rowFloats + dimension]
          }
          expectClose(states, step.tableStates[table], "state of table \(table), step \(number)")
        }
      }
    }
  }

  /// Within 1e-5 relative, or 1e-7 beside zero, where a sum of opposite numbers has no relative precision.
  private func expectClose(_ values: [Float], _ expected: [Float], _ what: String) {
    #expect(values.count == expected.count, "\(what)")
    for (index, (value, target)) in zip(values, expected).enumerated() {
      #expect(abs(value - target) <= max(1e-5 * abs(target), 1e-7), "\(what), number \(index)")
    }
  }
}
