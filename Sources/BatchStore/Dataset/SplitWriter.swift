import Primitives

/// Writes one split: batches are spooled without their hints while the trace comes in, and written for good once every
/// next use is known.
final class SplitWriter {
  private let output: PendingOutput
  private let header: SegmentHeader
  private let segmentBytes: Int
  private let spool: File
  private let nextUses: NextUsePass
  private struct SpooledBody {
    var offset: Int
    var packedBytes: UInt32
    var rawBytes: UInt32
    var samples: UInt32
  }

  private let bodies = GrowableBuffer<SpooledBody>()
  private var end = 0
  private var fingerprint = Fingerprint()
  private var summary = SplitManifest()
  private var labelSum = 0.0

  init(
    output: PendingOutput, header: SegmentHeader, tables: [TableLayout], segmentBytes: Int,
    rowsPerPartition: Int
  ) throws {
    self.output = output
    self.header = header
    self.segmentBytes = segmentBytes
    spool = try File(temporaryIn: output.directory)
    nextUses = try NextUsePass(
      directory: output.directory, tables: tables, rowsPerPartition: rowsPerPartition)
  }

  var batches: Int { summary.batches }

  /// Takes the next batch, which was built in `slot`.
  func append(_ slot: BatchSlot) throws {
    guard summary.samples == summary.batches * header.batchSize, summary.batches < Int(UInt32.max) else {
      throw ChanterError(.broken, "a batch follows the last, partial one of its split")
    }
    let batch = slot.batch
    fingerprint.update(UInt64(batch.sampleCount))
    fingerprint.update(slot.raw.bytes)
    try nextUses.append(batch.keys.base, count: batch.uniqueCount)
    try spool.write(slot.packed.bytes)
    bodies.append(
      SpooledBody(
        offset: end, packedBytes: UInt32(slot.packed.count), rawBytes: UInt32(slot.raw.count),
        samples: UInt32(batch.sampleCount)))
    end += slot.packed.count
    for sample in 0..<batch.sampleCount { labelSum += Double(batch.labels.base[sample]) }
    summary.samples += batch.sampleCount
    summary.batches += 1
    summary.maximumUniqueRows = max(summary.maximumUniqueRows, batch.uniqueCount)
    summary.maximumEntries = max(summary.maximumEntries, batch.entryCount)
  }

  /// Writes the segments, a group of batches at a time.
  /// - Parameter progress: called after each group with the number of batches written.
  /// - Returns: the split's part of the manifest, and the fingerprint of its content.
  func finish(
    _ slots: [BatchSlot], on pool: WorkerPool, progress: (Int) throws -> Void
  ) throws -> (SplitManifest, content: String) {
    summary.largestUnions = try nextUses.solve()
    summary.labelMean = summary.samples == 0 ? 0 : labelSum / Double(summary.samples)
    let segments = SegmentWriter(output: output, header: header, segmentBytes: segmentBytes)
    for first in stride(from: 0, to: summary.batches, by: slots.count) {
      let count = min(slots.count, summary.batches - first)
      for slot in slots[..<count] { try nextUses.next(nextUse: slot.codes, firstTouch: slot.flags) }
      try BatchSlot.run(slots, count, on: pool) { task, slot, _ in
        let body = bodies.base[first + task]
        try read(body, slot)
        try slot.finish(index: first + task, sampleCount: Int(body.samples))
      }
      for (slot, number) in zip(slots, first..<first + count) {
        try segments.append(
          slot.packed.bytes, rawBytes: slot.raw.count, sampleCount: Int(bodies.base[number].samples),
          uniqueCount: slot.codes.count)
      }
      try progress(first + count)
    }
    try segments.finish()
    summary.segments = segments.segments
    summary.rawBytes = segments.rawBytes
    summary.compressedBytes = segments.compressedBytes
    summary.maximumRawBytes = segments.maximumRawBytes
    summary.maximumCompressedBytes = segments.maximumCompressedBytes
    return (summary, fingerprint.hex)
  }

  private func read(_ body: SpooledBody, _ slot: BatchSlot) throws {
    let (packedBytes, rawBytes) = (Int(body.packedBytes), Int(body.rawBytes))
    slot.packed.removeAll()
    try spool.read(at: body.offset, into: slot.packed.extend(by: packedBytes), count: packedBytes)
    slot.raw.removeAll()
    let target = UnsafeMutableRawBufferPointer(start: slot.raw.extend(by: rawBytes), count: rawBytes)
    if let problem = slot.lz4.decode(slot.packed.bytes, into: target) {
      throw ChanterError(.corrupt, "the temporary file reads back wrong (\(problem))", path: spool.path)
    }
  }
}
