import Primitives

/// Writes one split: batches are spooled without their hints while the trace comes in, and written for good once every
/// next use is known.
final class SplitWriter {
  private let output: PendingOutput
  private let header: SegmentHeader
  private let segmentBytes: Int
  private let spool: File
  private let nextUses: NextUsePass
  private var end = 0
  private var fingerprint = Fingerprint()
  private var summary = SplitManifest()
  /// What the split had before, in another dataset.
  private let earlier: SplitManifest
  /// By table, rows that batches before may have used where not all of these are known; nil where they are.
  private var used: [UInt32]?
  private var labelSum = 0.0
  /// Entries of rows that stand for a value, and of row 0.
  private(set) var values = (all: 0, unseen: 0)

  /// - Parameters:
  ///   - keepsWork: whether the spool has a name, so that a later process goes on with the batches that are in it.
  ///   - base: the dataset whose batches come first.
  init(
    output: PendingOutput, header: SegmentHeader, tables: [TableLayout], segmentBytes: Int,
    rowsPerPartition: Int, keepsWork: Bool, extending base: Dataset?
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
    earlier = base?.manifest.split(header.split) ?? SplitManifest()
    if let base, earlier.batches > 0 { try readEarlier(base) }
  }

  /// Shows the next-use pass the batches before, of a long split only those that a window of the longest length can hold together
  /// with a new one, the first of an epoch following the last.
  private func readEarlier(_ base: Dataset) throws {
    let reader = try base.reader(header.split)
    let batch = Batch(layout: reader.layout)
    let reach = WindowUnions.longest - 1
    if reader.batchCount > 2 * reach { used = base.manifest.tables.map(\.rows) }
    for index in 0..<reader.batchCount {
      if index < reach || index >= reader.batchCount - reach {
        try reader.read(index, into: batch)
        try nextUses.append(batch.keys.base, count: batch.uniqueCount)
      } else {
        nextUses.appendUnknown()
      }
    }
  }

  /// Without those of another dataset.
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
    guard summary.samples == summary.batches * header.batchSize,
      earlier.batches + summary.batches < Int(UInt32.max)
    else {
      throw ChanterError(.broken, "a batch follows the last, partial one of its split")
    }
    let batch = slot.batch
    fingerprint.update(UInt64(batch.sampleCount))
    fingerprint.update(slot.raw.bytes)
    try nextUses.append(batch.keys.base, count: batch.uniqueCount, used: used)
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
  /// - Returns: the split in the manifest, what it had before included, and the fingerprint of what was appended here.
  func finish(
    _ slots: [BatchSlot], on pool: WorkerPool, progress: (Int) throws -> Void
  ) throws -> (SplitManifest, content: String) {
    // Batches that nobody read lie in windows of the split as it was.
    summary.largestUnions = try nextUses.solve()
    for (length, most) in earlier.largestUnions.enumerated() {
      summary.largestUnions[length] = max(summary.largestUnions[length], most)
    }
    try nextUses.skip(earlier.batches)
    let segments = SegmentWriter(
      output: output, header: header, segmentBytes: segmentBytes, after: earlier)
    var next = 0
    for first in stride(from: 0, to: summary.batches, by: slots.count) {
      let count = min(slots.count, summary.batches - first)
      let offsets = try slots[..<count].map { slot in
        try nextUses.next(nextUse: slot.codes, firstTouch: slot.flags)
        let offset = next
        next += RecordHeader.bytes + (try RecordHeader(spool, at: offset).packedBytes)
        return offset
      }
      try BatchSlot.run(slots, count, on: pool) { task, slot, _ in
        let samples = try read(at: offsets[task], slot)
        try slot.finish(index: earlier.batches + first + task, sampleCount: samples)
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
    summary.samples += earlier.samples
    summary.batches += earlier.batches
    summary.maximumUniqueRows = max(summary.maximumUniqueRows, earlier.maximumUniqueRows)
    summary.maximumEntries = max(summary.maximumEntries, earlier.maximumEntries)
    let labels = labelSum + earlier.labelMean * Double(earlier.samples)
    summary.labelMean = summary.samples == 0 ? 0 : labels / Double(summary.samples)
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
    if let problem = LZ4Block.decode(slot.packed.bytes, into: target) {
      throw ChanterError(
        .corrupt, "the temporary file reads back wrong (\(problem)); run the command again", path: spool.path)
    }
    return header.number
  }
}
