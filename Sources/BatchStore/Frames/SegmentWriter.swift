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
    count(
      frameBytes: frame.count, rawBytes: rawBytes, sampleCount: sampleCount, uniqueCount: uniqueCount)
    if isFull { try end() }
  }

  private var isFull: Bool { offset >= segmentBytes || index.count == Self.mostIndexBytes }

  private func count(frameBytes: Int, rawBytes: Int, sampleCount: Int, uniqueCount: Int) {
    index.append(integer: UInt64(offset))
    index.append(integer: UInt32(frameBytes))
    index.append(integer: UInt32(rawBytes))
    index.append(integer: UInt32(sampleCount))
    index.append(integer: UInt32(uniqueCount))
    let compressed = frameBytes - SegmentFormat.frameHeaderBytes
    offset += frameBytes
    batches += 1
    self.rawBytes += rawBytes
    compressedBytes += compressed
    maximumRawBytes = max(maximumRawBytes, rawBytes)
    maximumCompressedBytes = max(maximumCompressedBytes, compressed)
  }

  /// Takes over the segments that a process wrote before it was killed, as far as their frames are whole; what follows is dropped.
  /// - Parameters:
  ///   - scratch: where a frame is read to.
  ///   - isNext: whether a frame, whose bytes are intact, is that of the next batch.
  func recover(_ scratch: GrowableBuffer<UInt8>, _ isNext: (FrameHeader) throws -> Bool) throws {
    while File.exists(nextPath), try recoverSegment(scratch, isNext) {}
    try removeSegments(from: segments.count + (file == nil ? 0 : 1))
  }

  /// - Returns: whether the segment is whole, so that another may follow.
  private func recoverSegment(
    _ scratch: GrowableBuffer<UInt8>, _ isNext: (FrameHeader) throws -> Bool
  ) throws -> Bool {
    let file = try File(updating: nextPath)
    let size = try file.size()
    func read(_ count: Int, at place: Int) throws -> UnsafeRawBufferPointer {
      scratch.removeAll()
      try file.read(at: place, into: scratch.extend(by: count), count: count)
      return scratch.bytes
    }
    index.removeAll()
    offset = SegmentFormat.headerBytes
    putHeader()
    guard size >= offset, try read(offset, at: 0).elementsEqual(buffer.bytes) else { return false }
    let headerBytes = SegmentFormat.frameHeaderBytes
    while offset + headerBytes <= size, index.count == 0 || !isFull {
      guard
        let frame = try? FrameHeader.read(
          read(headerBytes, at: offset), path: file.path, offset: offset),
        frame.batch == batches, offset + headerBytes + frame.compressedBytes <= size,
        LZ4Block.isIntact(try read(frame.compressedBytes, at: offset + headerBytes)), try isNext(frame)
      else { break }
      count(
        frameBytes: headerBytes + frame.compressedBytes, rawBytes: frame.rawBytes,
        sampleCount: frame.sampleCount, uniqueCount: frame.uniqueCount)
    }
    guard index.count > 0 else { return false }
    try file.truncate(to: offset)
    try file.seek(to: offset)
    self.file = file
    guard isFull else { return false }
    try end()
    return true
  }

  /// Removes the segments of this split that are not among the first `count`.
  func removeSegments(from count: Int) throws {
    let kept = Set((0..<count).map { SegmentFormat.fileName(header.split, $0) })
    try output.remove {
      $0.hasPrefix(SegmentFormat.filePrefix(header.split)) && $0.hasSuffix(SegmentFormat.fileSuffix)
        && !kept.contains($0)
    }
  }

  private var nextPath: String { output.file(SegmentFormat.fileName(header.split, segments.count)) }

  /// Ends the last segment.
  func finish() throws {
    if file != nil { try end() }
  }

  private func begin() throws {
    let file = try File(creating: nextPath)
    putHeader()
    try file.write(buffer.bytes)
    offset = buffer.count
    index.removeAll()
    self.file = file
  }

  /// Puts the header of the next segment into `buffer`.
  private func putHeader() {
    var header = header
    header.number = segments.count
    header.firstBatch = batches
    buffer.removeAll()
    header.write(to: buffer)
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
