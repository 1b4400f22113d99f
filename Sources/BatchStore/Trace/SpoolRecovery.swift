import Primitives

extension SampleSpool {
  /// What is left of a spool after the process that wrote it was killed.
  public struct Recovered {
    public let spool: SampleSpool
    /// The text of the last mark.
    public let mark: [UInt8]
    /// The samples that were noted with it.
    public let rest: SampleBatch
  }

  /// Opens the spool of a process that was killed, as it was at its last mark; what lies beyond is dropped.
  /// - Parameter value: called with every value that was noted, by table in the order of its numbers.
  /// - Returns: nil if there is no mark.
  public static func recover(
    _ path: String, in directory: String, shape: SampleShape, chunkSamples: Int,
    value: (_ table: Int, _ value: UnsafeRawBufferPointer) throws -> Void
  ) throws -> Recovered? {
    guard File.exists(path) else { return nil }
    let file = try File(updating: path)
    let size = try file.size()
    var last = 0
    var markOffset: Int?
    // The headers lead from record to record; the first that is cut short or damaged ends what can be used.
    while last + RecordHeader.bytes <= size, let header = try? RecordHeader(file, at: last),
      last + RecordHeader.bytes + header.packedBytes <= size
    {
      if header.kind == .mark { markOffset = last }
      last += RecordHeader.bytes + header.packedBytes
    }
    guard let markOffset else { return nil }
    let spool = try SampleSpool(file: file, in: directory, shape: shape, chunkSamples: chunkSamples)
    let reader = try SampleSpoolReader(spool)
    let rest = SampleBatch(shape: shape, capacity: chunkSamples)
    var mark: [UInt8] = []
    while spool.end <= markOffset {
      let header = try RecordHeader(file, at: spool.end)
      let bytes = RecordHeader.bytes + header.packedBytes
      if header.kind == .chunk {
        guard (1...chunkSamples).contains(header.number),
          spool.sampleCount == spool.chunkCount * chunkSamples
        else {
          throw RecordHeader.damaged(file)
        }
        rest.sampleCount = 0
        try spool.count(bytes, samples: header.number)
        continue
      }
      let raw = reader.raw
      _ = try spool.load(at: spool.end, reader.packed, into: raw)
      switch header.kind {
      case .chunk, .hints: break
      case .rest: try reader.decode(raw.bytes, samples: header.number, into: rest)
      case .mark: mark = Array(raw.bytes)
      case .values:
        var cursor = ByteCursor(raw.bytes, path: path, origin: spool.end)
        while cursor.remaining > 0 {
          let count = Int(try cursor.integer(UInt16.self))
          try value(header.number, UnsafeRawBufferPointer(start: try cursor.take(count), count: count))
        }
      }
      spool.skip(bytes)
    }
    try file.truncate(to: spool.end)
    return Recovered(spool: spool, mark: mark, rest: rest)
  }

}

/// The header of a record of a spool: what it is, how many samples or unique rows it has or of which table its values are, its size
/// before and after packing, and a checksum.
struct RecordHeader {
  enum Kind: UInt32 { case chunk = 1, rest, values, mark, hints }

  static let bytes = 20
  let kind: Kind
  let number: Int
  let rawBytes: Int
  let packedBytes: Int

  init(_ file: File, at offset: Int) throws {
    let header = AlignedBuffer<UInt8>(count: Self.bytes)
    try file.read(at: offset, into: header.base, count: Self.bytes)
    var cursor = ByteCursor(header.rawBytes, path: file.path, origin: offset)
    let kind = Kind(rawValue: try cursor.integer(UInt32.self))
    number = Int(try cursor.integer(UInt32.self))
    rawBytes = Int(try cursor.integer(UInt32.self))
    packedBytes = Int(try cursor.integer(UInt32.self))
    // No block of lz4 holds more than 255 bytes a byte.
    guard try cursor.checksumMatches(), let kind, rawBytes / 255 <= packedBytes else {
      throw Self.damaged(file)
    }
    self.kind = kind
  }

  /// Puts a record of `raw` into `packed` in place of what it holds.
  static func pack(
    _ raw: UnsafeRawBufferPointer, _ kind: Kind, number: Int, into packed: GrowableBuffer<UInt8>
  ) throws {
    packed.removeAll()
    _ = packed.extend(by: bytes)
    let count = try LZ4Block.compress(raw, into: packed)
    let header = GrowableBuffer<UInt8>(capacity: bytes)
    header.append(integer: kind.rawValue)
    header.append(integer: UInt32(number))
    header.append(integer: UInt32(raw.count))
    header.append(integer: UInt32(count))
    header.appendChecksum(from: 0)
    UnsafeMutableRawPointer(packed.base).copyMemory(from: header.base, byteCount: bytes)
  }

  /// Puts the record at `offset` into `raw` without its packing; the header says what it is.
  static func load(
    _ file: File, at offset: Int, _ packed: GrowableBuffer<UInt8>, into raw: GrowableBuffer<UInt8>
  ) throws -> RecordHeader {
    let header = try RecordHeader(file, at: offset)
    packed.removeAll()
    try file.read(
      at: offset + bytes, into: packed.extend(by: header.packedBytes), count: header.packedBytes)
    raw.removeAll()
    let target = UnsafeMutableRawBufferPointer(
      start: raw.extend(by: header.rawBytes), count: header.rawBytes)
    if let problem = LZ4Block.decode(packed.bytes, into: target) {
      throw ChanterError(
        .corrupt, "the temporary file reads back wrong (\(problem)); run the command again", path: file.path)
    }
    return header
  }

  static func damaged(_ file: File) -> ChanterError {
    ChanterError(
      .corrupt, "the temporary file reads back wrong; remove its directory and start again", path: file.path)
  }
}
