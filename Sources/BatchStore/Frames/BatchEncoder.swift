import Primitives

/// Writes the raw form of batches: first the body (labels to inverse indices), then the hints (next use, first
/// touch), which a dataset writer learns only when the whole trace is known. `Format.md` has the layout.
struct BatchEncoder {
  let precision: DensePrecision
  private let numbers = GrowableBuffer<UInt32>()
  private let columns = DenseColumnEncoder()

  init(precision: DensePrecision) { self.precision = precision }

  /// Memory for batches of this layout.
  static func bytes(of layout: BatchLayout) -> Int {
    DenseColumnEncoder.bytes(samples: layout.maximumSamples)
      + 2 * 4 * max(layout.maximumUniqueRows, layout.maximumSamples)
  }

  /// Appends the body of `batch`.
  func appendBody(_ batch: Batch, to target: GrowableBuffer<UInt8>) {
    let samples = batch.sampleCount
    let shape = batch.layout.shape
    appendHeaders(batch, to: target)
    let labels = batch.labels.base
    let bits = target.extend(by: FrameShape.bitBytes(samples))
    bits.initialize(repeating: 0, count: FrameShape.bitBytes(samples))
    for sample in 0..<samples where labels[sample] != 0 { bits[sample >> 3] |= 1 << UInt8(sample & 7) }
    if shape.hasWeights {
      columns.append(batch.weights.base, column: 0, columns: 1, samples: samples, .fp32, to: target)
    }
    if shape.hasTimes { appendTimes(batch, to: target) }
    for column in 0..<shape.denseCount {
      columns.append(
        batch.dense.base, column: column, columns: shape.denseCount, samples: samples, precision, to: target)
    }
    for table in 0..<shape.tableCount { appendRows(batch, table, to: target) }
    var bag = 0
    for (number, feature) in shape.features.enumerated() {
      if feature.isBag {
        appendLengths(batch, bag: bag, to: target)
        bag += 1
      }
      let entries = Int(batch.entryOffsets.base[number])..<Int(batch.entryOffsets.base[number + 1])
      PackedNumbers.append(
        batch.inverse.base + entries.lowerBound, count: entries.count,
        minus: batch.tableOffsets.base[feature.table], to: target)
    }
  }

  /// Appends the least time and how much later each is, in two halves.
  private func appendTimes(_ batch: Batch, to target: GrowableBuffer<UInt8>) {
    let samples = batch.sampleCount
    let times = batch.times.base
    var least = Int64.max
    for sample in 0..<samples { least = min(least, times[sample]) }
    target.append(integer: least)
    for shift in [0, 32] as [UInt64] {
      numbers.removeAll()
      let half = numbers.extend(by: samples)
      for sample in 0..<samples {
        half[sample] = UInt32(truncatingIfNeeded: UInt64(bitPattern: times[sample] &- least) >> shift)
      }
      PackedNumbers.append(half, count: samples, to: target)
    }
  }

  /// Appends the distance of each unique row to the one before.
  private func appendRows(_ batch: Batch, _ table: Int, to target: GrowableBuffer<UInt8>) {
    let start = Int(batch.tableOffsets.base[table])
    let count = Int(batch.tableOffsets.base[table + 1]) - start
    let keys = batch.keys.base + start
    numbers.removeAll()
    let distance = numbers.extend(by: count)
    var previous: UInt32 = 0
    for position in 0..<count {
      let row = keys[position].row
      distance[position] = row &- previous
      previous = row
    }
    PackedNumbers.append(distance, count: count, to: target)
  }

  private func appendLengths(_ batch: Batch, bag: Int, to target: GrowableBuffer<UInt8>) {
    let samples = batch.sampleCount
    let starts = batch.bagOffsets.base + bag * (samples + 1)
    numbers.removeAll()
    let length = numbers.extend(by: samples)
    for sample in 0..<samples { length[sample] = starts[sample + 1] - starts[sample] }
    PackedNumbers.append(length, count: samples, to: target)
  }

  private func appendHeaders(_ batch: Batch, to target: GrowableBuffer<UInt8>) {
    let shape = batch.layout.shape
    let offsets = batch.tableOffsets.base
    for table in 0..<shape.tableCount { target.append(integer: offsets[table + 1] - offsets[table]) }
    let entries = batch.entryOffsets.base
    for (number, feature) in shape.features.enumerated() where feature.isBag {
      target.append(integer: entries[number + 1] - entries[number])
    }
    target.append(precision.code)
    target.append(FrameShape.flags(shape))
    target.append(integer: UInt16(0))
  }

  /// Appends the hints of a batch with `count` unique rows.
  func appendHints(
    nextUse: UnsafePointer<UInt16>, firstTouch: UnsafePointer<UInt8>, count: Int,
    to target: GrowableBuffer<UInt8>
  ) {
    let bits = target.extend(by: FrameShape.bitBytes(count))
    bits.initialize(repeating: 0, count: FrameShape.bitBytes(count))
    for position in 0..<count { bits[position >> 3] |= (firstTouch[position] & 1) << UInt8(position & 7) }
    numbers.removeAll()
    let number = numbers.extend(by: count)
    for position in 0..<count { number[position] = UInt32(nextUse[position]) }
    PackedNumbers.append(number, count: count, to: target)
  }
}
