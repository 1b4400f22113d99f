import Primitives

/// Writes the raw form of batches: first the body (rows, inverse, dense, labels), then the hints (next use, first
/// touch), which a dataset writer learns only when the whole trace is known. `Format.md` has the layout.
struct BatchEncoder {
  let precision: DensePrecision
  private let deltas = GrowableBuffer<UInt32>()
  private let lengths = GrowableBuffer<UInt32>()
  /// Planes of the deltas by table, then of lengths and inverse by feature.
  private let planes = GrowableBuffer<Int>()

  init(precision: DensePrecision) { self.precision = precision }

  /// Appends the body of `batch`.
  func appendBody(_ batch: Batch, to target: GrowableBuffer<UInt8>) {
    let samples = batch.sampleCount
    let shape = batch.layout.shape
    findDeltas(batch)
    findLengths(batch)
    appendHeaders(batch, to: target)
    let labels = batch.labels.base
    let bits = target.extend(by: FrameShape.bitBytes(samples))
    bits.initialize(repeating: 0, count: FrameShape.bitBytes(samples))
    for sample in 0..<samples where labels[sample] != 0 { bits[sample >> 3] |= 1 << UInt8(sample & 7) }
    if shape.hasWeights { BytePlanes.append(batch.weights.base, rows: samples, columns: 1, to: target) }
    switch precision {
    case .fp32: BytePlanes.append(batch.dense.base, rows: samples, columns: shape.denseCount, to: target)
    case .fp16: BytePlanes.appendHalf(batch.dense.base, rows: samples, columns: shape.denseCount, to: target)
    }
    let offsets = batch.tableOffsets.base
    for table in 0..<shape.tableCount {
      BytePlanes.append(
        deltas.base + Int(offsets[table]), count: Int(offsets[table + 1] - offsets[table]), minus: 0,
        planes: planes.base[table], to: target)
    }
    let entries = batch.entryOffsets.base
    var bag = 0
    for (number, feature) in shape.features.enumerated() {
      let known = planes.base + shape.tableCount + 2 * number
      if feature.isBag {
        BytePlanes.append(
          lengths.base + bag * samples, count: samples, minus: 0, planes: known[0], to: target)
        bag += 1
      }
      BytePlanes.append(
        batch.inverse.base + Int(entries[number]), count: Int(entries[number + 1] - entries[number]),
        minus: offsets[feature.table], planes: known[1], to: target)
    }
  }

  /// Sets the distance of each unique row to the one before, and their planes.
  private func findDeltas(_ batch: Batch) {
    let offsets = batch.tableOffsets.base
    let keys = batch.keys.base
    deltas.removeAll()
    planes.removeAll()
    let delta = deltas.extend(by: batch.uniqueCount)
    for table in 0..<batch.layout.tableCount {
      var largest: UInt32 = 0
      var previous: UInt32 = 0
      for position in Int(offsets[table])..<Int(offsets[table + 1]) {
        let row = keys[position].row
        delta[position] = row &- previous
        largest = max(largest, row &- previous)
        previous = row
      }
      planes.append(FrameShape.planes(for: largest))
    }
  }

  /// Sets the lengths of the bags, and the planes of every feature.
  private func findLengths(_ batch: Batch) {
    let samples = batch.sampleCount
    let offsets = batch.tableOffsets.base
    lengths.removeAll()
    var bag = 0
    for feature in batch.layout.features {
      var largest: UInt32 = 0
      if feature.isBag {
        let starts = batch.bagOffsets.base + bag * (samples + 1)
        let length = lengths.extend(by: samples)
        for sample in 0..<samples {
          length[sample] = starts[sample + 1] - starts[sample]
          largest = max(largest, length[sample])
        }
        bag += 1
      }
      planes.append(FrameShape.planes(for: largest))
      let unique = offsets[feature.table + 1] - offsets[feature.table]
      planes.append(FrameShape.planes(for: unique > 0 ? unique - 1 : 0))
    }
  }

  private func appendHeaders(_ batch: Batch, to target: GrowableBuffer<UInt8>) {
    let shape = batch.layout.shape
    let offsets = batch.tableOffsets.base
    for table in 0..<shape.tableCount {
      target.append(integer: offsets[table + 1] - offsets[table])
      target.append(UInt8(planes.base[table]))
    }
    let entries = batch.entryOffsets.base
    for (number, feature) in shape.features.enumerated() {
      let known = planes.base + shape.tableCount + 2 * number
      if feature.isBag { target.append(integer: entries[number + 1] - entries[number]) }
      target.append(UInt8(known[1]))
      if feature.isBag { target.append(UInt8(known[0])) }
    }
    target.append(precision.code)
    target.append(shape.hasWeights ? FrameShape.hasWeights : 0)
    target.append(integer: UInt16(0))
  }

  /// Appends the hints of a batch with `count` unique rows.
  func appendHints(
    nextUse: UnsafePointer<UInt16>, firstTouch: UnsafePointer<UInt8>, count: Int,
    to target: GrowableBuffer<UInt8>
  ) {
    var largest: UInt16 = 0
    for position in 0..<count { largest = max(largest, nextUse[position]) }
    let planes = FrameShape.planes(for: UInt32(largest))
    target.append(UInt8(planes))
    let bits = target.extend(by: FrameShape.bitBytes(count))
    bits.initialize(repeating: 0, count: FrameShape.bitBytes(count))
    for position in 0..<count { bits[position >> 3] |= (firstTouch[position] & 1) << UInt8(position & 7) }
    for plane in 0..<planes {
      let out = target.extend(by: count)
      for position in 0..<count {
        out[position] = UInt8(truncatingIfNeeded: nextUse[position] >> UInt16(8 * plane))
      }
    }
  }
}
