import Primitives

/// The sparse part of a step: sums the gradients of each unique row in their order, then updates the row once, as a
/// coalesced sparse gradient does.
struct RowUpdate: Segment {
  let optimizer: RowOptimizer
  let clipping: Clipping?
  let gradients: RowGradients
  /// A byte for each task, from `firstFailure` on: whether it left a weight that is not finite.
  let failures: AlignedBuffer<UInt8>
  let firstFailure: Int

  /// Unique rows that one task takes.
  static let rangeSize = 256

  static func taskCount(uniqueRows: Int) -> Int { (uniqueRows + rangeSize - 1) / rangeSize }

  func taskCount(_ step: TrainingStep) -> Int { Self.taskCount(uniqueRows: step.batch.uniqueCount) }

  func run(_ task: Int, worker: Int, _ step: TrainingStep) {
    let batch = step.batch
    let rowStep = RowStep(
      optimizer, step: step.number, learningRateFactor: step.learningRateFactor,
      gradientScale: clipping?.scale ?? 1)
    let dimension = gradients.rowShape.dimension
    let first = task * Self.rangeSize
    let range = first..<min(batch.uniqueCount, first + Self.rangeSize)
    var check = Vector(repeating: 0)
    gradients.forEachSum(range, batch) { position, width, sum in
      let row = batch.row(UInt32(position))
      rowStep.apply(row: row, gradient: sum, width: width, dimension: dimension)
      forEachVector(width) { column, lanes in
        let weights = load(row + column, lanes)
        check += weights - weights
      }
    }
    failures.base[firstFailure + task] = laneSum(check) == 0 ? 0 : 1
  }

  func conclude(_ step: TrainingStep) throws(NonFinite) {
    let batch = step.batch
    for task in 0..<taskCount(step) where failures.base[firstFailure + task] != 0 {
      var table = 0
      for position in task * Self.rangeSize..<min(batch.uniqueCount, (task + 1) * Self.rangeSize) {
        while Int(batch.tableOffsets[table + 1]) <= position { table += 1 }
        if !areFinite(batch.row(UInt32(position)), gradients.rowShape.width(table)) {
          throw NonFinite(place: .table(table), isAfterUpdate: true)
        }
      }
    }
  }
}

/// The gradients by the vectors of each sample's features, and the order in which they make up the gradients of rows.
struct RowGradients {
  let rowShape: RowShape
  /// `[samples × gradient stride]`, and room for one vector more.
  let values: AlignedBuffer<Float>
  /// What `RowOrder` makes.
  let order: AlignedBuffer<UInt32>
  let ends: AlignedBuffer<UInt32>

  /// Hands out the summed gradient of each unique position of `range`, in order: the weights of its row, and its gradient with
  /// whole vectors, beyond the weights anything.
  @inline(__always)
  func forEachSum(
    _ range: Range<Int>, _ batch: BatchInput,
    _ body: (_ position: Int, _ width: Int, _ sum: UnsafeMutablePointer<Float>) -> Void
  ) {
    let rowShape = rowShape
    let values = values.base
    let order = order.base
    let ends = ends.base
    let (rows, rowFloats, slots) = (batch.rows, batch.rowFloats, batch.slots)
    var table = 0
    var width = rowShape.width(0)
    // On the stack, for vectors of up to 256 floats, if no more than the usual alignment is asked for.
    withUnsafeTemporaryAllocation(of: Float.self, capacity: paddedToVector(rowShape.dimension)) { memory in
      guard let sum = memory.baseAddress else { return }
      for position in range {
        while Int(batch.tableOffsets[table + 1]) <= position {
          table += 1
          width = rowShape.width(table)
        }
        if position + 8 < range.upperBound {
          prefetchRow(rows + Int(slots[position + 8]) * rowFloats, width)
          let first = Int(ends[position + 7])
          if first < Int(ends[position + 8]) { prefetchRow(values + Int(order[first]), width) }
        }
        let entries = position == 0 ? 0..<Int(ends[0]) : Int(ends[position - 1])..<Int(ends[position])
        // A cache line at a time where there is a whole one: many rows have many entries.
        var column = 0
        while column + 8 < width {
          var (low, high) = (Vector.zero, Vector.zero)
          for entry in entries {
            let gradient = values + Int(order[entry]) + column
            low += load(gradient)
            high += load(gradient + 8)
          }
          store(low, sum + column)
          store(high, sum + column + 8)
          column += 16
        }
        if column < width {
          var total = Vector.zero
          for entry in entries { total += load(values + Int(order[entry]) + column) }
          store(total, sum + column)
        }
        body(position, width, sum)
      }
    }
  }
}
