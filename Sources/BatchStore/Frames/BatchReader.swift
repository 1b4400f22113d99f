import Primitives

/// Reads the batches of one split in any order, with file descriptors and scratch memory of its own.
///
/// Not thread-safe: one reader a thread. After the first batches no memory is allocated; only one segment is open at
/// a time, and the index stays on disk, so memory does not grow with the number of batches.
public final class BatchReader {
  public let split: Split
  public let batchCount: Int
  public let layout: BatchLayout
  private let dataset: Dataset
  private let part: SplitManifest
  private let spans: BatchSpans
  /// First batch of each segment, and the end.
  private let starts: [Int]
  private let decoder: BatchDecoder
  private let compressed: AlignedBuffer<UInt8>
  private let raw: AlignedBuffer<UInt8>
  private var open: (number: Int, file: File, indexOffset: Int)?

  init(dataset: Dataset, split: Split) throws {
    self.dataset = dataset
    self.split = split
    part = dataset.manifest.split(split)
    spans = dataset.manifest.spans(of: split)
    batchCount = part.batches
    layout = dataset.layout(of: split)
    starts = part.segments.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.batches) }
    decoder = BatchDecoder(
      tables: dataset.manifest.tables, layout: layout, precision: dataset.manifest.densePrecision)
    compressed = AlignedBuffer(count: SegmentFormat.frameHeaderBytes + part.maximumCompressedBytes)
    raw = AlignedBuffer(count: part.maximumRawBytes)
  }

  /// Bytes that a reader of `split` allocates: two frames and what the decoder needs.
  public static func bytes(of dataset: Dataset, split: Split) -> Int {
    let part = dataset.manifest.split(split)
    return max(64, SegmentFormat.frameHeaderBytes + part.maximumCompressedBytes)
      + max(64, part.maximumRawBytes)
      + BatchDecoder.bytes(of: dataset.layout(of: split))
  }

  /// Fills `batch` with batch `index` of the split.
  /// - Parameters:
  ///   - index: in 0 ..< `batchCount`.
  ///   - batch: made with at least this reader's layout.
  /// - Throws: `.corrupt` with path and offset for bytes that do not check out; `batch` then means nothing.
  public func read(_ index: Int, into batch: Batch) throws {
    precondition(index >= 0 && index < batchCount, "batch \(index) of \(batchCount)")
    precondition(batch.layout.holds(layout), "the batch has another layout")
    let (file, entryOffset, framesEnd) = try locate(index)
    try file.read(at: entryOffset, into: compressed.base, count: SegmentFormat.indexEntryBytes)
    var entry = ByteCursor(bytes(SegmentFormat.indexEntryBytes), path: file.path, origin: entryOffset)
    let offset = try entry.integer(UInt64.self)
    let frameBytes = Int(try entry.integer(UInt32.self))
    let expected = FrameHeader(
      batch: index, sampleCount: 0, uniqueCount: 0, rawBytes: Int(try entry.integer(UInt32.self)),
      compressedBytes: frameBytes - SegmentFormat.frameHeaderBytes)
    let sampleCount = Int(try entry.integer(UInt32.self))
    let uniqueCount = Int(try entry.integer(UInt32.self))
    guard frameBytes >= SegmentFormat.frameHeaderBytes, frameBytes <= compressed.count, offset <= framesEnd,
      Int(offset) + frameBytes <= framesEnd, expected.rawBytes <= part.maximumRawBytes,
      sampleCount == spans.samples(of: index).count, uniqueCount <= part.maximumUniqueRows
    else { throw entry.corrupt("the index entry of batch \(index) is impossible") }

    try file.read(at: Int(offset), into: compressed.base, count: frameBytes)
    let place = ByteCursor(bytes(frameBytes), path: file.path, origin: Int(offset))
    let header = try FrameHeader.read(
      bytes(SegmentFormat.frameHeaderBytes), path: file.path, offset: Int(offset))
    guard header.batch == index, header.sampleCount == sampleCount, header.uniqueCount == uniqueCount,
      header.rawBytes == expected.rawBytes, header.compressedBytes == expected.compressedBytes
    else { throw place.corrupt("the frame is not the one that the index names") }
    let target = UnsafeMutableRawBufferPointer(start: raw.base, count: header.rawBytes)
    let frame = UnsafeRawBufferPointer(
      start: compressed.base + SegmentFormat.frameHeaderBytes, count: header.compressedBytes)
    if let problem = LZ4Block.decode(frame, into: target) {
      throw place.corrupt("batch \(index) is damaged (\(problem))")
    }
    try decoder.decode(
      UnsafeRawBufferPointer(target), sampleCount: sampleCount, uniqueCount: uniqueCount, into: batch,
      path: file.path, offset: Int(offset))
    batch.index = index
  }

  private func bytes(_ count: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: compressed.base, count: count)
  }

  /// The file that holds batch `index`, where its index entry lies, and where the frames end.
  private func locate(_ index: Int) throws -> (file: File, entryOffset: Int, framesEnd: Int) {
    if let open, index >= starts[open.number], index < starts[open.number + 1] {
      return (
        open.file, open.indexOffset + (index - starts[open.number]) * SegmentFormat.indexEntryBytes,
        open.indexOffset
      )
    }
    var low = 0
    var high = part.segments.count - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if starts[middle] <= index { low = middle } else { high = middle - 1 }
    }
    let (file, indexOffset) = try openSegment(low)
    open = (low, file, indexOffset)
    return (file, indexOffset + (index - starts[low]) * SegmentFormat.indexEntryBytes, indexOffset)
  }

  /// Opens segment `number` and checks header, footer and index.
  private func openSegment(_ number: Int) throws -> (File, indexOffset: Int) {
    let manifest = dataset.manifest
    let segment = part.segments[number]
    let file = try File(reading: "\(dataset.path)/\(SegmentFormat.fileName(split, number))")
    let size = try file.size()
    let indexBytes = segment.batches * SegmentFormat.indexEntryBytes
    let indexOffset = segment.bytes - SegmentFormat.footerBytes - indexBytes
    guard size == segment.bytes, indexOffset >= SegmentFormat.headerBytes else {
      throw ChanterError(
        .corrupt,
        "the file has \(size) bytes, the manifest says \(segment.bytes): it is truncated or foreign",
        path: file.path, offset: min(size, segment.bytes))
    }
    let scratch = AlignedBuffer<UInt8>(count: 4096)
    func piece(_ offset: Int, _ count: Int) throws -> UnsafeRawBufferPointer {
      try file.read(at: offset, into: scratch.base, count: count)
      return UnsafeRawBufferPointer(start: scratch.base, count: count)
    }
    let header = SegmentHeader(
      split: split, number: number, shape: manifest.shape, batchSize: manifest.batchSize,
      firstBatch: starts[number])
    try header.check(try piece(0, SegmentFormat.headerBytes), path: file.path)
    let footerOffset = segment.bytes - SegmentFormat.footerBytes
    var footer = ByteCursor(
      try piece(footerOffset, SegmentFormat.footerBytes), path: file.path, origin: footerOffset)
    guard try footer.integer(UInt64.self) == UInt64(indexOffset),
      try footer.integer(UInt32.self) == UInt32(segment.batches),
      try footer.integer(UInt32.self) == segment.indexChecksum,
      try footer.integer(UInt64.self) == SegmentFormat.footerMagic, try footer.integer(UInt32.self) == 0,
      try footer.checksumMatches()
    else { throw footer.corrupt("the footer of the segment is damaged") }
    var checksum: UInt32 = 0
    var done = 0
    while done < indexBytes {
      let count = min(scratch.count, indexBytes - done)
      checksum = CRC32C.checksum(try piece(indexOffset + done, count), seed: checksum)
      done += count
    }
    guard checksum == segment.indexChecksum else {
      throw ChanterError(
        .corrupt, "the index of the segment is damaged; restore the file or run preprocess again",
        path: file.path, offset: indexOffset)
    }
    return (file, indexOffset)
  }
}
