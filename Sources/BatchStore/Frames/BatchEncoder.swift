import Primitives

/// Writes the raw form of batches: first the body (rows, inverse, dense, labels), then the hints (next use, first
/// touch), which a dataset writer learns only when the whole trace is known. `Format.md` has the layout.
struct BatchEncoder {
  private let deltas = GrowableBuffer<UInt32>()

  /// Appends the body of `batch`.
  func appendBody(_ batch: Batch, to target: GrowableBuffer<UInt8>) {
    let samples = batch.sampleCount
    let tables = batch.layout.tableCount
    let offsets = batch.tableOffsets.base
    let keys = batch.keys.base
    deltas.removeAll()
    let delta = deltas.extend(by: batch.uniqueCount)
    let headers = target.count
    for table in 0..<tables {
      let start = Int(offsets[table])
      let end = Int(offsets[table + 1])
      var largest: UInt32 = 0
      var previous: UInt32 = 0
      for position in start..<end {
        let row = keys[position].row
        delta[position] = row &- previous
        largest = max(largest, row &- previous)
        previous = row
      }
      target.append(integer: UInt32(end - start))
      target.append(UInt8(FrameShape.planes(for: largest)))
      target.append(UInt8(FrameShape.planes(for: UInt32(max(0, end - start - 1)))))
      target.append(integer: UInt16(0))
    }
    target.append(FrameShape.denseFloat32)
    for _ in 1..<FrameShape.codecBytes { target.append(0) }
    let labels = batch.labels.base
    let bits = target.extend(by: FrameShape.bitBytes(samples))
    bits.initialize(repeating: 0, count: FrameShape.bitBytes(samples))
    for sample in 0..<samples where labels[sample] != 0 { bits[sample >> 3] |= 1 << UInt8(sample & 7) }
    BytePlanes.append(batch.dense.base, rows: samples, columns: batch.layout.denseCount, to: target)
    for table in 0..<tables {
      let start = Int(offsets[table])
      let header = headers + table * FrameShape.tableHeaderBytes
      let deltaPlanes = Int(target.base[header + 4])
      let inversePlanes = Int(target.base[header + 5])
      BytePlanes.append(
        delta + start, count: Int(offsets[table + 1]) - start, minus: 0, planes: deltaPlanes, to: target)
      BytePlanes.append(
        batch.inverse.base + table * samples, count: samples, minus: offsets[table],
        planes: inversePlanes, to: target)
    }
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
