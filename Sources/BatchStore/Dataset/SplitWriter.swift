import Primitives

/// Writes one split: batches are spooled without their hints while the trace comes in, and written for good once every
/// next use is known.
final class SplitWriter {
  private let output: PendingOutput
  private let header: SegmentHeader
  private let segmentBytes: Int
  private let spool: File
  private let nextUses: NextUsePass
  private let encoder = BatchEncoder()
  private let raw = GrowableBuffer<UInt8>()
  private let packed = GrowableBuffer<UInt8>()
  private var fingerprint = Fingerprint()
  private var summary = SplitManifest()
  private var labelSum = 0.0
  private static let spoolHeaderBytes = 16

  init(output: PendingOutput, header: SegmentHeader, segmentBytes: Int) throws {
    self.output = output
    self.header = header
    self.segmentBytes = segmentBytes
    spool = try File(temporaryIn: output.directory)
    nextUses = try NextUsePass(directory: output.directory)
  }

  var batches: Int { summary.batches }

  func append(_ batch: Batch) throws {
    guard summary.samples == summary.batches * header.batchSize, summary.batches < Int(UInt32.max) else {
      throw ChanterError(.broken, "a batch follows the last, partial one of its split")
    }
    raw.removeAll()
    encoder.appendBody(batch, to: raw)
    fingerprint.update(UInt64(batch.sampleCount))
    fingerprint.update(raw.bytes)
    try nextUses.append(batch.keys.base, count: batch.uniqueCount)
    packed.removeAll()
    _ = packed.extend(by: Self.spoolHeaderBytes)
    let length = try LZ4Frame.compress(raw.bytes, into: packed)
    let head = UnsafeMutableRawPointer(packed.base).assumingMemoryBound(to: UInt32.self)
    head[0] = UInt32(length)
    head[1] = UInt32(raw.count)
    head[2] = UInt32(batch.sampleCount)
    head[3] = UInt32(batch.uniqueCount)
    try spool.write(packed.bytes)
    for sample in 0..<batch.sampleCount { labelSum += Double(batch.labels.base[sample]) }
    summary.samples += batch.sampleCount
    summary.batches += 1
    summary.maximumUniqueRows = max(summary.maximumUniqueRows, batch.uniqueCount)
  }

  /// Writes the segments.
  /// - Parameter progress: called after each batch with the number of batches written.
  /// - Returns: the split's part of the manifest, and the fingerprint of its content.
  func finish(progress: (Int) throws -> Void) throws -> (SplitManifest, content: String) {
    summary.largestUnions = try nextUses.solve()
    summary.labelMean = summary.samples == 0 ? 0 : labelSum / Double(summary.samples)
    let segments = SegmentWriter(output: output, header: header, segmentBytes: segmentBytes)
    let lz4 = try LZ4Decoder()
    let codes = GrowableBuffer<UInt16>()
    let flags = GrowableBuffer<UInt8>()
    var offset = 0
    for batch in 0..<summary.batches {
      packed.removeAll()
      let start = packed.extend(by: Self.spoolHeaderBytes)
      try spool.read(at: offset, into: start, count: Self.spoolHeaderBytes)
      let head = UnsafeRawPointer(start).assumingMemoryBound(to: UInt32.self)
      let (length, rawCount, samples, unique) = (Int(head[0]), Int(head[1]), Int(head[2]), Int(head[3]))
      offset += Self.spoolHeaderBytes
      packed.removeAll()
      try spool.read(at: offset, into: packed.extend(by: length), count: length)
      offset += length
      raw.removeAll()
      let target = UnsafeMutableRawBufferPointer(start: raw.extend(by: rawCount), count: rawCount)
      if let problem = lz4.decode(packed.bytes, into: target) {
        throw ChanterError(.corrupt, "the temporary file reads back wrong (\(problem))", path: spool.path)
      }
      try nextUses.next(nextUse: codes, firstTouch: flags)
      encoder.appendHints(nextUse: codes.base, firstTouch: flags.base, count: unique, to: raw)
      try segments.append(raw.bytes, sampleCount: samples, uniqueCount: unique)
      try progress(batch + 1)
    }
    try segments.finish()
    summary.segments = segments.segments
    summary.rawBytes = segments.rawBytes
    summary.compressedBytes = segments.compressedBytes
    summary.maximumRawBytes = segments.maximumRawBytes
    summary.maximumCompressedBytes = segments.maximumCompressedBytes
    return (summary, fingerprint.hex)
  }
}
