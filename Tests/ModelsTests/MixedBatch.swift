import Models
import Primitives

/// A batch over features that may be bags and may share tables, and the memory behind its pointers.
final class MixedBatch {
  let count: Int
  let uniqueCount: Int
  let entryCount: Int
  private let dense: AlignedBuffer<Float>
  private let labels: AlignedBuffer<Float>
  private let weights: AlignedBuffer<Float>?
  private let tableOffsets: AlignedBuffer<UInt32>
  private let entryOffsets: AlignedBuffer<UInt32>
  private let bagOffsets: AlignedBuffer<UInt32>
  private let inverse: AlignedBuffer<UInt32>
  private let slots: AlignedBuffer<UInt32>
  private let storage: RowStorage

  /// - Parameter entries: per feature and sample, the rows of its table.
  init(
    dense: [Float], labels: [Float], weights: [Float]?, entries: [[[Int]]], features: [FeatureShape],
    _ storage: RowStorage
  ) {
    count = labels.count
    self.storage = storage
    self.dense = AlignedBuffer(dense)
    self.labels = AlignedBuffer(labels)
    self.weights = weights.map { AlignedBuffer($0) }
    var used: [[Int]] = []
    var offsets: [UInt32] = [0]
    var places: [UInt32] = []
    for table in storage.tableRows.indices {
      let rows = Set(features.indices.filter { features[$0].table == table }.flatMap { entries[$0].joined() })
        .sorted()
      used.append(rows)
      offsets.append(offsets[table] + UInt32(rows.count))
      places += rows.map { UInt32(storage.slot(table: table, row: $0)) }
    }
    var starts: [UInt32] = [0]
    var positions: [UInt32] = []
    var bags: [UInt32] = []
    for (index, feature) in features.enumerated() {
      var length: UInt32 = 0
      if feature.bag != nil { bags.append(0) }
      for bag in entries[index] {
        for row in bag {
          positions.append(offsets[feature.table] + UInt32(used[feature.table].firstIndex(of: row) ?? 0))
        }
        length += UInt32(bag.count)
        if feature.bag != nil { bags.append(length) }
      }
      starts.append(starts[index] + length)
    }
    uniqueCount = places.count
    entryCount = positions.count
    tableOffsets = AlignedBuffer(numbers: offsets)
    entryOffsets = AlignedBuffer(numbers: starts)
    bagOffsets = AlignedBuffer(numbers: bags)
    inverse = AlignedBuffer(numbers: positions)
    slots = AlignedBuffer(numbers: places)
  }

  var input: BatchInput {
    BatchInput(
      sampleCount: count, dense: dense.base, labels: labels.base, weights: weights.map { .init($0.base) },
      uniqueCount: uniqueCount, tableOffsets: tableOffsets.base, entryOffsets: entryOffsets.base,
      inverse: inverse.base, bagOffsets: bagOffsets.base, rows: storage.buffer.base,
      rowFloats: storage.rowFloats, slots: slots.base)
  }

  func train(_ model: DenseModel, step: Int, factor: Float = 1) throws -> Double {
    try withExtendedLifetime(self) { () throws -> Double in
      try model.train(input, step: step, learningRateFactor: factor)
    }
  }

  func scores(_ model: DenseModel) -> [Float] {
    let scores = AlignedBuffer<Float>(count: count)
    withExtendedLifetime(self) { model.predict(input, into: scores.base) }
    return scores.array
  }

  /// Samples, features and dense numbers drawn at random; bags have 0 to 3 entries.
  static func random(
    count: Int, shape: InputShape, storage: RowStorage, seed: UInt64, weighted: Bool = false
  ) -> MixedBatch {
    let random = CounterRandom(seed: seed, stream: 9)
    var next: UInt64 = 0
    func draw(_ bound: Int) -> Int {
      next += 1
      return Int(random.below(UInt64(bound), next))
    }
    let entries = shape.features.map { feature in
      (0..<count).map { _ in
        (0..<(feature.bag == nil ? 1 : draw(4))).map { _ in draw(storage.tableRows[feature.table]) }
      }
    }
    return MixedBatch(
      dense: randomFloats(count * shape.denseCount, seed: seed &+ 1),
      labels: (0..<count).map { _ in Float(draw(2)) },
      weights: weighted ? (0..<count).map { _ in Float(1 + draw(3)) / 2 } : nil, entries: entries,
      features: shape.features, storage)
  }
}

extension AlignedBuffer where Element == UInt32 {
  fileprivate convenience init(numbers: [UInt32]) {
    self.init(count: numbers.count)
    for (index, number) in numbers.enumerated() { self[index] = number }
  }
}
