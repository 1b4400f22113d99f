import BatchStore
import Primitives

/// Mean and deviation of the columns that are standardised, found over the training part once all of it was read.
///
/// Sums run in the order of the samples, each in two doubles (the second takes what the first rounds away), of the distance
/// from the column's first value: so they depend neither on threads nor on how samples are cut into blocks or batches, and lose
/// nothing when the mean is large beside the deviation.
struct DenseStatistics {
  /// With the moments in it.
  let schema: Schema
  /// By standardised column: its number among the dense columns, and how it is shifted and scaled.
  private let operations: [ColumnOperation]
  private let denseCount: Int

  /// - Parameter training: the first so many samples are trained on.
  init(_ spool: SampleSpool, training: Int, of schema: Schema) throws {
    var schema = schema
    let dense = schema.columns.indices.filter { schema.columns[$0].isDense }
    denseCount = dense.count
    let wanted = dense.indices.filter { schema.columns[dense[$0]].kind == .dense(.standardise(nil)) }
    if !wanted.isEmpty {
      let moments = try Self.moments(spool, training, wanted, denseCount: dense.count)
      for (column, moment) in zip(wanted, moments) {
        schema.columns[dense[column]].kind = .dense(.standardise(moment))
      }
    }
    self.schema = schema
    operations = try OperationPlan(schema, schema.columns.map { _ in [] }).operations.filter {
      $0.code == .standardise && wanted.contains($0.target)
    }
  }

  /// Standardises what the spool holds as it was read.
  /// - Throws: `.badInput` for a value so far from the mean that `precision` cannot hold it.
  func apply(to samples: SampleBatch, _ precision: DensePrecision) throws {
    for operation in operations {
      var place = samples.dense.base + operation.target
      for _ in 0..<samples.sampleCount {
        let value = place.pointee
        place.pointee = Self.standardised(value, operation)
        guard place.pointee.magnitude <= precision.largest else {
          throw ChanterError(
            .badInput,
            "column \(schema.columns[operation.column].name) has the value \(value), which is \((Double(value) - operation.offset) * operation.scale)"
              + " standard deviations from the mean, more than \(precision.rawValue) holds; use "
              + (precision == .fp16 ? "--dense fp32, or another transform" : "another transform"))
        }
        place += denseCount
      }
    }
  }

  /// What a model sees of a value: 0 for a missing one, which is NaN here.
  static func standardised(_ value: Float, _ operation: ColumnOperation) -> Float {
    value.isNaN ? 0 : Float((Double(value) - operation.offset) * operation.scale)
  }

  private struct Sums {
    var first: Double?
    var count = 0.0
    var distances = ExactSum()
    var squares = ExactSum()

    mutating func add(_ value: Double) {
      let origin = first ?? value
      first = origin
      count += 1
      distances.add(value - origin)
      squares.add((value - origin) * (value - origin))
    }

    /// A column without values has a deviation of 0, and so has one of a single value: all of it becomes 0.
    var moments: Moments {
      guard let first else { return Moments(mean: 0, deviation: 0) }
      let distance = distances.value / count
      let variance = max(0, squares.value / count - distance * distance)
      return Moments(mean: first + distance, deviation: variance.squareRoot())
    }
  }

  private static func moments(
    _ spool: SampleSpool, _ training: Int, _ columns: [Int], denseCount: Int
  ) throws -> [Moments] {
    var sums = columns.map { _ in Sums() }
    let reader = try SampleSpoolReader(spool)
    let chunk = SampleBatch(shape: spool.shape, capacity: spool.chunkSamples)
    for start in stride(from: 0, to: training, by: spool.chunkSamples) {
      try reader.read(start..<min(training, start + spool.chunkSamples), into: chunk)
      for (number, column) in columns.enumerated() {
        for sample in 0..<chunk.sampleCount {
          let value = chunk.dense.base[sample * denseCount + column]
          if !value.isNaN { sums[number].add(Double(value)) }
        }
      }
    }
    return sums.map(\.moments)
  }
}

/// A sum in two doubles (Knuth's TwoSum).
struct ExactSum {
  private var sum = 0.0
  private var rest = 0.0

  mutating func add(_ value: Double) {
    let total = sum + value
    let added = total - sum
    rest += (sum - (total - added)) + (value - added)
    sum = total
  }

  var value: Double { sum + rest }
}
