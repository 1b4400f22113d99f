import Primitives

/// Writes the frames of one split into segment files of bounded size, each ended by its index.
///
/// Numbers and sums count what the split has already.
final class SegmentWriter {
  /// A segment ends with this frame at the latest, so that its index takes little memory, however small the batches are.
  static let mostFrames = 1 << 15
  private static let mostIndexBytes = mostFrames * SegmentFormat.indexEntryBytes
  /// The most memory of one: the index, before and after it grew.
  static let bytes = 3 * mostIndexBytes

  private let output: PendingOutput
  private let header: SegmentHeader
  private let segmentBytes: Int
  private let buffer = GrowableBuffer<UInt8>()
  private let index = GrowableBuffer<UInt8>()
  private var file: File?
  private var offset = 0
  private var batches = 0
  private(set) var segments: [SegmentManifest] = []
  private(set) var rawBytes = 0
  private(set) var compressedBytes = 0
  private(set) var maximumRawBytes = 0
  private(set) var maximumCompressedBytes = 0

  /// - Parameters:
  ///   - header: split and shapes; number and first batch are filled in here.
  ///   - segmentBytes: a segment ends with the frame that reaches this size.
  ///   - earlier: what the split has already, in segments that lie elsewhere.
  init(
    output: PendingOutput, header: SegmentHeader, segmentBytes: Int, after earlier: SplitManifest
  ) {
    self.output = output
    self.header = header
    self.segmentBytes = segmentBytes
    segments = earlier.segments
    batches = earlier.batches
    rawBytes = earlier.rawBytes
    compressedBytes = earlier.compressedBytes
    maximumRawBytes = earlier.maximumRawBytes
    maximumCompressedBytes = earlier.maximumCompressedBytes
  }

  /// The frame of one batch, of which `raw` is the body with the hints, written to `target` in place of what it held.
  static func frame(
    _ raw: UnsafeRawBufferPointer, batch: Int, sampleCount: Int, uniqueCount: Int,
    into target: GrowableBuffer<UInt8>
  ) throws {
    target.removeAll()
    _ = target.extend(by: SegmentFormat.frameHeaderBytes)
    let compressed = try LZ4Block.compress(raw, into: target)
    let frame = FrameHeader(
      batch: batch, sampleCount: sampleCount, uniqueCount: uniqueCount, rawBytes: raw.count,
      compressedBytes: compressed)
    let head = GrowableBuffer<UInt8>(capacity: SegmentFormat.frameHeaderBytes)
    frame.write(to: head)
    UnsafeMutableRawPointer(target.base).copyMemory(
      from: head.base, byteCount: SegmentFormat.frameHeaderBytes)
  }

  /// Appends the frame of the next batch of the split, made of `rawBytes` bytes.
  func append(
    _ frame: UnsafeRawBufferPointer, rawBytes: Int, sampleCount: Int, uniqueCount: Int
  ) throws {
    if file == nil { try begin() }
    guard let file else { return }
    try file.write(frame)
    index.append(integer: UInt64(offset))
    index.append(integer: UInt32(frame.count))
    index.append(integer: UInt32(rawBytes))
    index.append(integer: UInt32(sampleCount))
    index.append(integer: UInt32(uniqueCount))
    let compressed = frame.count - SegmentFormat.frameHeaderBytes
    offset += frame.count
    batches += 1
    self.rawBytes += rawBytes
    compressedBytes += compressed
    maximumRawBytes = max(maximumRawBytes, rawBytes)
    maximumCompressedBytes = max(maximumCompressedBytes, compressed)
    if offset >= segmentBytes || index.count == Self.mostIndexBytes { try end() }
  }

  /// Ends the last segment.
  func finish() throws {
    if file != nil { try end() }
  }

  private func begin() throws {
    let file = try File(creating: output.file(SegmentFormat.fileName(header.split, segments.count)))
    var header = header
    header.number = segments.count
    header.firstBatch = batches
    buffer.removeAll()
    header.write(to: buffer)
    try file.write(buffer.bytes)
    offset = buffer.count
    index.removeAll()
    self.file = file
  }

  private func end() throws {
    guard let file else { return }
    let checksum = CRC32C.checksum(index.bytes)
    try file.write(index.bytes)
    buffer.removeAll()
    buffer.append(integer: UInt64(offset))
    buffer.append(integer: UInt32(index.count / SegmentFormat.indexEntryBytes))
    buffer.append(integer: checksum)
    buffer.append(integer: SegmentFormat.footerMagic)
    buffer.append(integer: UInt32(0))
    buffer.appendChecksum(from: 0)
    try file.write(buffer.bytes)
    try file.synchronize()
    segments.append(
      SegmentManifest(
        batches: index.count / SegmentFormat.indexEntryBytes, bytes: offset + index.count + buffer.count,
        indexChecksum: checksum))
    self.file = nil
  }
}
