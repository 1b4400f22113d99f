import Primitives

/// Turns the inverse index of each table round by a counting sort, so that the entries of a row are known in their order:
/// feature by feature, and sample by sample in each.
struct RowOrder: Segment {
  let shape: InputShape
  let rowShape: RowShape
  /// `[entries]`: sorted by unique position, where the gradient of each entry starts in the row gradients.
  let order: AlignedBuffer<UInt32>
  /// `[unique rows]`: where the entries of each unique position end in `order`; they start where those before end.
  let ends: AlignedBuffer<UInt32>

  func taskCount(_ step: TrainingStep) -> Int { shape.dimensions.count }

  func run(_ table: Int, worker: Int, _ step: TrainingStep) {
    let batch = step.batch
    let inverse = batch.inverse
    let order = order.base
    let ends = ends.base
    let positions = Int(batch.tableOffsets[table])..<Int(batch.tableOffsets[table + 1])
    for position in positions { ends[position] = 0 }
    var start: UInt32 = 0
    for (index, feature) in shape.features.enumerated() where feature.table <= table {
      let entries = Int(batch.entryOffsets[index])..<Int(batch.entryOffsets[index + 1])
      if feature.table < table {
        start += UInt32(entries.count)
      } else {
        for entry in entries { ends[Int(inverse[entry])] += 1 }
      }
    }
    for position in positions {
      let count = ends[position]
      ends[position] = start
      start += count
    }
    // Each entry moves from the start of its row's entries to their end.
    let stride = rowShape.gradientStride
    for (index, feature) in shape.features.enumerated() where feature.table == table {
      var place = UInt32(rowShape.gradientOffsets[index])
      let first = Int(batch.entryOffsets[index])
      for sample in 0..<batch.sampleCount {
        let entries =
          feature.bag == nil
          ? first + sample..<first + sample + 1 : batch.bag(index, feature, sample: sample)
        for entry in entries {
          let position = Int(inverse[entry])
          order[Int(ends[position])] = place
          ends[position] += 1
        }
        place += UInt32(stride)
      }
    }
  }
}
