import Primitives

/// Writes one split: batches are spooled without their hints while the trace comes in, and written for good once every
/// next use is known.
final class SplitWriter {
  private let output: PendingOutput
  private let header: SegmentHeader
  private let segmentBytes: Int
  private let phases: FinishedPhases?
  /// Bodies of the batches, then the hints of each.
  private let spool: File
  private let hints: File
  /// Nil once the hints are found.
  private var nextUses: NextUsePass?
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
  /// The fingerprint of the batches, once the hints are found.
  private var content = ""
  /// Whether an earlier process found the hints, and may have begun with the segments.
  private let wasTraced: Bool

  /// - Parameters:
  ///   - phases: if it is given, the batches outlive a process that is killed, and a later one goes on with them.
  ///   - base: the dataset whose batches come first.
  init(
    output: PendingOutput, header: SegmentHeader, tables: [TableLayout], segmentBytes: Int,
    rowsPerPartition: Int, phases: FinishedPhases?, extending base: Dataset?
  ) throws {
    self.output = output
    self.header = header
    self.segmentBytes = segmentBytes
    self.phases = phases
    earlier = base?.manifest.split(header.split) ?? SplitManifest()
    let traced: TracedSplit? = phases?.state(of: TracedSplit.phase(header.split))
    wasTraced = traced != nil
    func file(_ name: String) throws -> File {
      try phases.map { try File(updating: $0.file(name)) } ?? File(temporaryIn: output.directory)
    }
    spool = try file(TracedSplit.bodies(header.split))
    hints = try file(TracedSplit.hints(header.split))
    if let traced {
      summary = traced.summary
      labelSum = traced.labelSum
      values = (traced.values, traced.unseen)
      content = traced.content
      return
    }
    nextUses = try NextUsePass(
      directory: output.directory, tables: tables, rowsPerPartition: rowsPerPartition)
    if let base, earlier.batches > 0 { try readEarlier(base) }
  }

  /// Shows the next-use pass the batches before, of a long split only those that a window of the longest length can hold together
  /// with a new one, the first of an epoch following the last.
  private func readEarlier(_ base: Dataset) throws {
    guard let nextUses else { return }
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
    if wasTraced { return }
    let size = try spool.size()
    while end < size, let header = try? RecordHeader(spool, at: end),
      end + RecordHeader.bytes + header.packedBytes <= size
    {
      do {
        try read(at: end, slot)
        try slot.decodeBody(tables, samples: header.number, path: spool.path)
      } catch let error as ChanterError where error.kind == .corrupt {
        break
      }
      try count(slot, packedBytes: RecordHeader.bytes + header.packedBytes)
    }
    try spool.truncate(to: end)
  }

  private func count(_ slot: BatchSlot, packedBytes: Int) throws {
    guard let nextUses, summary.samples == summary.batches * header.batchSize,
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

  func synchronize() throws { try spool.synchronize() }

  /// Finds the hints of all batches. They go to a file, so that neither is done twice by a process that is killed after it.
  /// - Parameter progress: called after each group with the number of batches done.
  func trace(_ slots: [BatchSlot], on pool: WorkerPool, progress: (Int) throws -> Void) throws {
    guard let nextUses else { return }
    // Batches that nobody read lie in windows of the split as it was.
    summary.largestUnions = try nextUses.solve()
    for (length, most) in earlier.largestUnions.enumerated() {
      summary.largestUnions[length] = max(summary.largestUnions[length], most)
    }
    try nextUses.skip(earlier.batches)
    try hints.truncate(to: 0)
    var offset = 0
    for first in stride(from: 0, to: summary.batches, by: slots.count) {
      let count = min(slots.count, summary.batches - first)
      for slot in slots[..<count] { try nextUses.next(nextUse: slot.codes, firstTouch: slot.flags) }
      try BatchSlot.run(slots, count, on: pool) { _, slot, _ in try slot.packHints() }
      for slot in slots[..<count] {
        try hints.write(slot.packed.bytes, at: offset)
        offset += slot.packed.count
      }
      try progress(first + count)
    }
    self.nextUses = nil
    content = fingerprint.hex
    let split = header.split
    try phases?.end(
      TracedSplit.phase(split),
      TracedSplit(
        summary: summary, labelSum: labelSum, values: values.all, unseen: values.unseen, content: content),
      records: [TracedSplit.bodies(split), TracedSplit.hints(split)])
  }

  /// Writes the segments, a group of batches at a time, once the hints are found.
  /// - Parameter progress: called with the number of batches so far: once if an earlier process wrote some, and after each group.
  /// - Returns: the split in the manifest, what it had before included, and the fingerprint of what was appended here.
  func finish(
    _ slots: [BatchSlot], on pool: WorkerPool, progress: (DatasetWriter.FinishingStep, Int) throws -> Void
  ) throws -> (SplitManifest, content: String) {
    let segments = SegmentWriter(
      output: output, header: header, segmentBytes: segmentBytes, after: earlier)
    var next = (body: 0, hints: 0)
    var done = 0
    if wasTraced, let scratch = slots.first?.packed {
      try segments.recover(scratch) { frame in
        guard done < summary.batches else { return false }
        let (body, hint) = (try RecordHeader(spool, at: next.body), try RecordHeader(hints, at: next.hints))
        guard frame.sampleCount == body.number, frame.uniqueCount == hint.number else { return false }
        next.body += RecordHeader.bytes + body.packedBytes
        next.hints += RecordHeader.bytes + hint.packedBytes
        done += 1
        return true
      }
      if done > 0 { try progress(.kept, done) }
    } else {
      try segments.removeSegments(from: earlier.segments.count)
    }
    for first in stride(from: done, to: summary.batches, by: slots.count) {
      let count = min(slots.count, summary.batches - first)
      let offsets = try slots[..<count].map { _ in
        let offsets = next
        next.body += RecordHeader.bytes + (try RecordHeader(spool, at: next.body).packedBytes)
        next.hints += RecordHeader.bytes + (try RecordHeader(hints, at: next.hints).packedBytes)
        return offsets
      }
      try BatchSlot.run(slots, count, on: pool) { task, slot, _ in
        try slot.unpackHints(from: hints, at: offsets[task].hints)
        let samples = try read(at: offsets[task].body, slot)
        try slot.finish(index: earlier.batches + first + task, sampleCount: samples)
      }
      for (slot, number) in zip(slots, first..<first + count) {
        try segments.append(
          slot.packed.bytes, rawBytes: slot.raw.count,
          sampleCount: min(header.batchSize, summary.samples - number * header.batchSize),
          uniqueCount: slot.codes.count)
      }
      try progress(.writing, first + count)
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
    return (summary, content)
  }

  /// Puts the body at `offset` into `slot.raw`.
  /// - Returns: its samples.
  @discardableResult
  private func read(at offset: Int, _ slot: BatchSlot) throws -> Int {
    try RecordHeader.load(spool, at: offset, slot.packed, into: slot.raw).number
  }
}

/// What is known of a split once its hints are found.
private struct TracedSplit: Codable {
  var summary: SplitManifest
  var labelSum: Double
  var values: Int
  var unseen: Int
  /// The fingerprint of the batches.
  var content: String

  static func phase(_ split: Split) -> String { "traced-\(split.rawValue)" }
  static func bodies(_ split: Split) -> String { "batches-\(split.rawValue)" }
  static func hints(_ split: Split) -> String { "hints-\(split.rawValue)" }
}
