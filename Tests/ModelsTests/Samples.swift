import Models
import Primitives

/// The shapes of a DLRM over single-valued features with a table each.
struct DLRMShape: Decodable, Sendable {
  var denseCount: Int
  var tableCount: Int
  var dimension: Int
  var bottom: [Int]
  var top: [Int]

  func specification(
    rows: RowOptimizer = RowOptimizer(.sgd, learningRate: 0.1),
    dense: DenseOptimizer = DenseOptimizer(.sgd, learningRate: 0.1), seed: UInt64 = 3
  ) -> ModelSpecification {
    var network = NetworkConfiguration(.dlrm)
    network.bottom = bottom
    network.top = top
    return ModelSpecification(
      network: network,
      shape: InputShape(denseCount: denseCount, tableCount: tableCount, dimension: dimension),
      rowOptimizer: rows, denseOptimizer: dense, seed: seed)
  }
}

/// Seeded samples over tables of the given sizes, from which batches are made.
struct Samples {
  let denseCount: Int
  let tableRows: [Int]
  var dense: [Float] = []
  var labels: [Float] = []
  /// Per sample, the row of each table.
  var rows: [[Int]] = []

  init(denseCount: Int, tableRows: [Int]) {
    self.denseCount = denseCount
    self.tableRows = tableRows
  }

  init(count: Int, denseCount: Int, tableRows: [Int], seed: UInt64) {
    self.init(denseCount: denseCount, tableRows: tableRows)
    let random = CounterRandom(seed: seed, stream: 5)
    dense = randomFloats(count * denseCount, seed: seed &+ 1)
    for sample in 0..<count {
      let part = CounterRandom(random, UInt64(sample))
      labels.append(part.uniform(0) < 0.4 ? 1 : 0)
      rows.append(
        tableRows.enumerated().map { table, size in
          // Squared, so that some rows are used by many samples.
          let place = part.uniform(UInt64(table + 1))
          return Int(place * place * Double(size))
        })
    }
  }

  /// The samples of `indices`, in that order, as one batch over `storage`.
  func batch(_ indices: [Int], _ storage: RowStorage) -> TestBatch {
    TestBatch(self, indices, storage)
  }
}

/// All rows of all tables in one buffer, in a scattered order, as a cache would hold them.
final class RowStorage {
  let rowFloats: Int
  let dimension: Int
  let buffer: AlignedBuffer<Float>
  let tableRows: [Int]
  private let rowCount: Int

  init(tableRows: [Int], dimension: Int, stateFloats: Int, seed: UInt64) {
    self.tableRows = tableRows
    self.dimension = dimension
    rowFloats = dimension + stateFloats
    rowCount = tableRows.reduce(0, +)
    buffer = AlignedBuffer(count: rowCount * rowFloats)
    let values = randomFloats(rowCount * dimension, seed: seed)
    for row in 0..<rowCount {
      for column in 0..<dimension { buffer[row * rowFloats + column] = values[row * dimension + column] }
    }
  }

  func slot(table: Int, row: Int) -> Int {
    rowCount - 1 - (tableRows[..<table].reduce(0, +) + row)
  }

  func weights(table: Int, row: Int) -> [Float] {
    let first = slot(table: table, row: row) * rowFloats
    return (0..<dimension).map { buffer[first + $0] }
  }
}

/// A batch and the memory behind its pointers.
final class TestBatch {
  private let dense: AlignedBuffer<Float>
  private let labels: AlignedBuffer<Float>
  private let tableOffsets: AlignedBuffer<UInt32>
  private let inverse: AlignedBuffer<UInt32>
  private let entryOffsets: AlignedBuffer<UInt32>
  private let slots: AlignedBuffer<UInt32>
  private let storage: RowStorage
  let count: Int
  let uniqueCount: Int

  init(_ samples: Samples, _ indices: [Int], _ storage: RowStorage) {
    let tables = samples.tableRows.count
    self.storage = storage
    count = indices.count
    let width = samples.denseCount
    dense = AlignedBuffer(indices.flatMap { samples.dense[$0 * width..<($0 + 1) * width] })
    labels = AlignedBuffer(indices.map { samples.labels[$0] })
    tableOffsets = AlignedBuffer(count: tables + 1)
    inverse = AlignedBuffer(count: tables * indices.count)
    slots = AlignedBuffer(count: tables * indices.count)
    entryOffsets = AlignedBuffer(count: tables + 1)
    for table in 0...tables { entryOffsets[table] = UInt32(table * indices.count) }
    var unique = 0
    for table in 0..<tables {
      let used = Set(indices.map { samples.rows[$0][table] }).sorted()
      for (place, index) in indices.enumerated() {
        let position = used.firstIndex(of: samples.rows[index][table]) ?? 0
        inverse[table * indices.count + place] = UInt32(unique + position)
      }
      for (position, row) in used.enumerated() {
        slots[unique + position] = UInt32(storage.slot(table: table, row: row))
      }
      unique += used.count
      tableOffsets[table + 1] = UInt32(unique)
    }
    uniqueCount = unique
  }

  /// One step of `model`; the memory stays alive for the call.
  func step(_ model: DenseModel, number: Int = 0) -> Double {
    withExtendedLifetime(self) { (try? model.train(input, step: number)) ?? .nan }
  }

  func scores(_ model: DenseModel) -> [Float] {
    let scores = AlignedBuffer<Float>(count: count)
    withExtendedLifetime(self) { model.predict(input, into: scores.base) }
    return scores.array
  }

  private var input: BatchInput {
    BatchInput(
      sampleCount: count, dense: dense.base, labels: labels.base, weights: nil, uniqueCount: uniqueCount,
      tableOffsets: tableOffsets.base, entryOffsets: entryOffsets.base, inverse: inverse.base,
      bagOffsets: nil, rows: storage.buffer.base, rowFloats: storage.rowFloats, slots: slots.base)
  }
}

extension DenseModel {
  var parameterArray: [Float] { Array(parameterBytes.bindMemory(to: Float.self)) }
}
