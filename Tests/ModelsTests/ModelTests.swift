import Models
import Primitives
import Testing

private let configuration = DLRMShape(
  denseCount: 5, tableCount: 4, dimension: 9, bottom: [12, 9], top: [17, 8, 1])
private let tableRows = [1, 3, 40, 500]

private func makeModel(
  rows: RowOptimizer = RowOptimizer(.sgd, learningRate: 0.1),
  dense: DenseOptimizer = DenseOptimizer(.sgd, learningRate: 0.1), batchSize: Int, threads: Int = 1,
  seed: UInt64 = 3, _ configuration: DLRMShape = configuration
) throws -> DenseModel {
  try DenseModel(
    configuration.specification(rows: rows, dense: dense, seed: seed),
    limits: limits(batchSize, configuration), workers: WorkerPool(threadCount: threads))
}

private func limits(_ batchSize: Int, _ configuration: DLRMShape) -> BatchLimits {
  let entries = batchSize * configuration.tableCount
  return BatchLimits(samples: batchSize, uniqueRows: entries, entries: entries)
}

@Suite("The whole model")
struct ModelTests {
  @Test("gradients of dense parameters and embeddings against finite differences", arguments: [1, 9, 70])
  func gradients(count: Int) throws {
    let configuration = DLRMShape(
      denseCount: 3, tableCount: 3, dimension: 3, bottom: [4, 3], top: [5, 1])
    let samples = Samples(count: count, denseCount: 3, tableRows: [1, 4, 6], seed: 8)
    let storage = RowStorage(tableRows: samples.tableRows, dimension: 3, stateFloats: 0, seed: 9)
    // A learning rate of 1: what a step takes away is the gradient.
    let model = try makeModel(
      rows: RowOptimizer(.sgd, learningRate: 1), dense: DenseOptimizer(.sgd, learningRate: 1), batchSize: 70,
      configuration)
    let parameters = model.parameterArray
    let rows = storage.buffer.array
    let loss = samples.batch(Array(0..<count), storage).step(model)
    let parameterGradient = zip(parameters, model.parameterArray).map { $0 - $1 }
    let rowGradient = zip(rows, storage.buffer.array).map { $0 - $1 }

    func meanLoss(_ parameters: [Double], _ rows: [Double]) -> Double {
      var sum = 0.0
      for sample in 0..<count {
        let embeddings = samples.tableRows.indices.map { table in
          let first = storage.slot(table: table, row: samples.rows[sample][table]) * 3
          return Array(rows[first..<first + 3])
        }
        let logit = referenceLogit(
          configuration, parameters: parameters,
          dense: samples.dense[sample * 3..<sample * 3 + 3].map(Double.init),
          embeddings: embeddings)
        sum += referenceLoss(logit: logit, label: Double(samples.labels[sample]))
      }
      return sum / Double(count)
    }
    let point = parameters.map(Double.init)
    let rowPoint = rows.map(Double.init)
    #expect(abs(loss / Double(count) - meanLoss(point, rowPoint)) < 1e-6)
    #expect(largestError(parameterGradient, finiteDifferences(point) { meanLoss($0, rowPoint) }) < 1e-6)
    #expect(largestError(rowGradient, finiteDifferences(rowPoint) { meanLoss(point, $0) }) < 1e-6)
    #expect(rowGradient.contains { $0 != 0 })
  }

  @Test(
    "the same bits for 1, 2 and 3 threads",
    arguments: [
      (RowOptimizer(.sgd, learningRate: 0.1), DenseOptimizer(.sgd, learningRate: 0.1)),
      (RowOptimizer(.rowwiseAdagrad, learningRate: 0.1), DenseOptimizer(.adagrad, learningRate: 0.1)),
    ], [650, 2_048])
  func threads(optimizers: (RowOptimizer, DenseOptimizer), batchSize: Int) throws {
    // 650: ten chunks of 64 and a part of one, so two lanes have two chunks. 2,048: chunks of 256, then a partial batch.
    let configuration = DLRMShape(
      denseCount: 2, tableCount: 4, dimension: 3, bottom: [3], top: [4, 1])
    let sizes = batchSize == 650 ? [650, 650, 65, 1] : [2_048, 300]
    let samples = Samples(count: sizes.reduce(0, +), denseCount: 2, tableRows: tableRows, seed: 1)
    var results: [(losses: [Double], parameters: [Float], rows: [Float])] = []
    for threads in 1...3 {
      let storage = RowStorage(
        tableRows: tableRows, dimension: 3, stateFloats: optimizers.0.stateFloats(dimension: 3), seed: 2)
      let model = try makeModel(
        rows: optimizers.0, dense: optimizers.1, batchSize: batchSize, threads: threads, configuration)
      var losses: [Double] = []
      var first = 0
      for size in sizes {
        losses.append(samples.batch(Array(first..<first + size), storage).step(model))
        first += size
      }
      results.append((losses, model.parameterArray, storage.buffer.array))
    }
    for result in results.dropFirst() {
      #expect(result.losses == results[0].losses)
      #expect(result.parameters == results[0].parameters)
      #expect(result.rows == results[0].rows)
    }
    #expect(results[0].losses.allSatisfy { $0.isFinite && $0 > 0 })
  }

  @Test("rows that a batch does not use stay as they are; an empty batch changes nothing")
  func untouchedRows() throws {
    let samples = Samples(count: 20, denseCount: 5, tableRows: tableRows, seed: 4)
    let storage = RowStorage(tableRows: tableRows, dimension: 9, stateFloats: 1, seed: 5)
    let model = try makeModel(rows: RowOptimizer(.rowwiseAdagrad, learningRate: 0.1), batchSize: 20)
    let before = storage.buffer.array
    let parameters = model.parameterArray
    #expect(samples.batch([], storage).step(model) == 0)
    #expect(storage.buffer.array == before)
    #expect(model.parameterArray == parameters)
    _ = samples.batch(Array(0..<20), storage).step(model)
    let after = storage.buffer.array
    for (table, size) in tableRows.enumerated() {
      let used = Set(samples.rows.map { $0[table] })
      for row in 0..<size {
        let place = storage.slot(table: table, row: row) * storage.rowFloats
        let same = before[place..<place + storage.rowFloats] == after[place..<place + storage.rowFloats]
        #expect(same != used.contains(row), "table \(table) row \(row)")
      }
    }
  }

  @Test("a sample's score has the same bits in every batch and place")
  func scores() throws {
    let count = 197
    let samples = Samples(count: count, denseCount: 5, tableRows: tableRows, seed: 6)
    let storage = RowStorage(tableRows: tableRows, dimension: 9, stateFloats: 1, seed: 7)
    let model = try makeModel(
      rows: RowOptimizer(.rowwiseAdagrad, learningRate: 0.1), batchSize: 100, threads: 2)
    // After a step the scratch memory is not zero any more.
    _ = samples.batch(Array(0..<100), storage).step(model)
    func scores(_ indices: [Int]) -> [Float] {
      samples.batch(indices, storage).scores(model)
    }
    let expected = scores(Array(0..<count))
    #expect(Array(expected.prefix(2)) == scores([0, 1]))
    #expect(Array(expected.reversed()) == scores((0..<count).reversed()))
    let random = CounterRandom(seed: 1, stream: 1)
    let shuffled = (0..<count).sorted { random.bits(UInt64($0)) < random.bits(UInt64($1)) }
    for size in [1, 7, 64, 100, 130, count] {
      var first = 0
      while first < count {
        let part = Array(shuffled[first..<min(count, first + size)])
        #expect(scores(part) == part.map { expected[$0] }, "batches of \(size)")
        first += size * (size < 64 ? 40 : 1)
      }
    }
    for index in stride(from: 0, to: count, by: 50) {
      let embeddings = tableRows.indices.map {
        storage.weights(table: $0, row: samples.rows[index][$0]).map(Double.init)
      }
      let logit = referenceLogit(
        configuration, parameters: model.parameterArray.map(Double.init),
        dense: samples.dense[index * 5..<index * 5 + 5].map(Double.init), embeddings: embeddings)
      #expect(largestError([expected[index]], [Double(sigmoid(Float(logit)))]) < 1e-5)
    }
  }

  @Test(
    "scores keep their bits at the layer sizes of real configurations",
    arguments: [
      DLRMShape(
        denseCount: 13, tableCount: 26, dimension: 16, bottom: [512, 256, 64, 16], top: [512, 256, 1]),
      DLRMShape(denseCount: 13, tableCount: 26, dimension: 48, bottom: [64, 48], top: [100, 50, 1]),
    ])
  func scoresOfRealShapes(configuration: DLRMShape) throws {
    let sizes = Array(repeating: 30, count: 26)
    let samples = Samples(count: 64, denseCount: 13, tableRows: sizes, seed: 6)
    let storage = RowStorage(tableRows: sizes, dimension: configuration.dimension, stateFloats: 0, seed: 7)
    let model = try makeModel(batchSize: 0, configuration)
    func scores(_ indices: [Int]) -> [Float] {
      samples.batch(indices, storage).scores(model)
    }
    let expected = scores(Array(0..<64))
    #expect(Array(expected.reversed()) == scores((0..<64).reversed()))
    for first in [1, 2, 3, 5, 7, 11, 30] { #expect(Array(expected[first...]) == scores(Array(first..<64))) }
  }

  @Test("the bytes promised are the bytes allocated", arguments: [0, 1, 100, 512, 2_048, 3_000], [1, 3])
  func memory(batchSize: Int, threads: Int) throws {
    for dense in [DenseOptimizer(.sgd, learningRate: 0.1), DenseOptimizer(.adagrad, learningRate: 0.1)] {
      let model = try makeModel(dense: dense, batchSize: batchSize, threads: threads)
      let promised = try configuration.specification(dense: dense).memoryBytes(
        limits: limits(batchSize, configuration), threadCount: threads)
      #expect(model.allocatedBytes == promised)
      #expect(model.parameterBytes.count == model.parameterCount * 4 * (1 + dense.stateFloats))
    }
  }

  @Test("parameters load into another model; a wrong length is refused")
  func load() throws {
    let first = try makeModel(dense: DenseOptimizer(.adagrad, learningRate: 0.1), batchSize: 64, seed: 1)
    let second = try makeModel(dense: DenseOptimizer(.adagrad, learningRate: 0.1), batchSize: 64, seed: 2)
    #expect(first.parameterArray != second.parameterArray)
    try second.load(first.parameterBytes)
    #expect(first.parameterArray == second.parameterArray)
    let before = second.parameterArray
    let short = UnsafeRawBufferPointer(rebasing: first.parameterBytes.dropLast(4))
    for bytes in [short, UnsafeRawBufferPointer(start: nil, count: 0)] {
      let error = #expect(throws: ChanterError.self) { try second.load(bytes) }
      #expect(error?.kind == .corrupt)
    }
    #expect(second.parameterArray == before)
  }
}
