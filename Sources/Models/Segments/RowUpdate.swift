import Primitives

/// The sparse part of a step: sums the gradients of each unique row in sample order, then updates the row once, as a
/// coalesced sparse gradient does.
///
/// The tasks turn each table's inverse index round by a counting sort, so that the samples of a row are known in their
/// order; the reduction goes over the unique rows.
struct RowUpdate: Segment {
  let optimizer: RowOptimizer
  let tableCount: Int
  let dimension: Int
  /// `[samples × tables × padded dimension]`, written by the segment before.
  let rowGradients: AlignedBuffer<Float>
  /// `[tables × samples]`: per table, its samples sorted by unique position.
  let order: AlignedBuffer<UInt32>
  /// `[unique rows]`: where the samples of each unique position end in `order`; they start where those before end.
  let ends: AlignedBuffer<UInt32>

  /// Unique rows that one task of the reduction takes.
  private static let rangeSize = 256

  func taskCount(_ batch: BatchInput) -> Int { tableCount }

  func run(_ table: Int, worker: Int, _ batch: BatchInput) {
    let samples = batch.sampleCount
    let inverse = batch.inverse + table * samples
    let order = order.base
    let ends = ends.base
    let positions = Int(batch.tableOffsets[table])..<Int(batch.tableOffsets[table + 1])
    for position in positions { ends[position] = 0 }
    for sample in 0..<samples { ends[Int(inverse[sample])] += 1 }
    var start = UInt32(table * samples)
    for position in positions {
      let count = ends[position]
      ends[position] = start
      start += count
    }
    // Each entry moves from the start of its row's samples to their end.
    for sample in 0..<samples {
      let position = Int(inverse[sample])
      order[Int(ends[position])] = UInt32(sample)
      ends[position] += 1
    }
  }

  func reduce(_ batch: BatchInput, _ workers: WorkerPool) {
    let ranges = (batch.uniqueCount + Self.rangeSize - 1) / Self.rangeSize
    workers.run(ranges) { task, _ in
      let first = task * Self.rangeSize
      update(first..<min(batch.uniqueCount, first + Self.rangeSize), batch)
    }
  }

  private func update(_ positions: Range<Int>, _ batch: BatchInput) {
    let optimizer = optimizer
    let dimension = dimension
    let padded = paddedToVector(dimension)
    let sampleStride = tableCount * padded
    let order = order.base
    let ends = ends.base
    let (rows, rowFloats, slots) = (batch.rows, batch.rowFloats, batch.slots)
    let tableOffsets = batch.tableOffsets
    var table = 0
    withUnsafeTemporaryAllocation(byteCount: padded * 4, alignment: 64) { memory in
      guard let sum = memory.bindMemory(to: Float.self).baseAddress else { return }
      for position in positions {
        while Int(tableOffsets[table + 1]) <= position { table += 1 }
        if position + 8 < positions.upperBound {
          CPU.prefetch(rows + Int(slots[position + 8]) * rowFloats)
        }
        let gradients = rowGradients.base + table * padded
        let start = position == 0 ? 0 : Int(ends[position - 1])
        let end = Int(ends[position])
        var column = 0
        while column < padded {
          var total = Vector(repeating: 0)
          for entry in start..<end { total += load(gradients + Int(order[entry]) * sampleStride + column) }
          store(total, sum + column)
          column += 8
        }
        optimizer.apply(row: rows + Int(slots[position]) * rowFloats, gradient: sum, dimension: dimension)
      }
    }
  }
}
