import Primitives

/// Writes one split: batches are spooled without their hints while the trace comes in, and written for good once every
/// next use is known.
final class SplitWriter {
  private let output: PendingOutput
  private let header: SegmentHeader
  private let segmentBytes: Int
  private let spool: File
  private let nextUses: NextUsePass
  /// Sizes of the spooled bodies after packing. Memory: 12 bytes by batch.
  private let sizes = GrowableBuffer<UInt32>()
  private let offsets = GrowableBuffer<Int>()
  private var end = 0
  private var fingerprint = Fingerprint()
  private var summary = SplitManifest()
  private var labelSum = 0.0
  /// Entries of rows that stand for a value, and of row 0.
  private(set) var values = (all: 0, unseen: 0)

  /// - Parameter keepsWork: whether the spool has a name, so that a later process goes on with the batches that are in it.
  init(
    output: PendingOutput, header: SegmentHeader, tables: [TableLayout], segmentBytes: Int,
    rowsPerPartition: Int, keepsWork: Bool
  ) throws {
    self.output = output
    self.header = header
    self.segmentBytes = segmentBytes
    spool =
      try keepsWork
      ? File(updating: output.workFile("batches-\(header.split.rawValue)"))
      : File(temporaryIn: output.directory)
    nextUses = try NextUsePass(
      directory: output.directory, tables: tables, rowsPerPartition: rowsPerPartition)
  }

  var batches: Int { summary.batches }
  var samples: Int { summary.samples }

  /// Takes the next batch, which was built in `slot`.
  func append(_ slot: BatchSlot) throws {
    try spool.write(slot.packed.bytes, at: end)
    try count(slot, packedBytes: slot.packed.count)
  }

  /// Takes the batches that lie in the spool of a process that was killed; what follows the last whole one is dropped.
  func recover(_ slot: BatchSlot, tables: [TableLayout]) throws {
    let size = try spool.size()
    while end < size, let header = try? RecordHeader(spool, at: end),
      end + RecordHeader.bytes + header.packedBytes <= size
    {
      try read(at: end, slot)
      try slot.decodeBody(tables, samples: header.number, path: spool.path)
      try count(slot, packedBytes: RecordHeader.bytes + header.packedBytes)
    }
    try spool.truncate(to: end)
  }

  private func count(_ slot: BatchSlot, packedBytes: Int) throws {
    guard summary.samples == summary.batches * header.batchSize, summary.batches < Int(UInt32.max) else {
      throw ChanterError(.broken, "a batch follows the last, partial one of its split")
    }
    let batch = slot.batch
    fingerprint.update(UInt64(batch.sampleCount))
    fingerprint.update(slot.raw.bytes)
    try nextUses.append(batch.keys.base, count: batch.uniqueCount)
    offsets.append(end)
    sizes.append(UInt32(packedBytes))
    end += packedBytes
    for sample in 0..<batch.sampleCount { labelSum += Double(batch.labels.base[sample]) }
    values.all += slot.values.all
    values.unseen += slot.values.unseen
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
        let samples = try read(at: offsets.base[first + task], slot)
        try slot.finish(index: first + task, sampleCount: samples)
      }
      for (slot, number) in zip(slots, first..<first + count) {
        try segments.append(
          slot.packed.bytes, rawBytes: slot.raw.count,
          sampleCount: min(header.batchSize, summary.samples - number * header.batchSize),
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

  /// Puts the body at `offset` into `slot.raw`.
  /// - Returns: its samples.
  @discardableResult
  private func read(at offset: Int, _ slot: BatchSlot) throws -> Int {
    let header = try RecordHeader(spool, at: offset)
    slot.packed.removeAll()
    try spool.read(
      at: offset + RecordHeader.bytes, into: slot.packed.extend(by: header.packedBytes),
      count: header.packedBytes)
    slot.raw.removeAll()
    let target = UnsafeMutableRawBufferPointer(
      start: slot.raw.extend(by: header.rawBytes), count: header.rawBytes)
    if let problem = slot.lz4.decode(slot.packed.bytes, into: target) {
      throw ChanterError(.corrupt, "the temporary file reads back wrong (\(problem))", path: spool.path)
    }
    return header.number
  }
}
