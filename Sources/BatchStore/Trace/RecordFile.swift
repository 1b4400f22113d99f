import Primitives

/// A record of three numbers and perhaps some bytes.
public struct FileRecord {
  public var first: UInt64
  public var second: UInt64
  public var third: UInt64

  public init(first: UInt64, second: UInt64, third: UInt64) {
    self.first = first
    self.second = second
    self.third = third
  }
}

/// Records in a temporary file, read back in the order in which they were written.
///
/// Blocks of 32 KiB, packed with lz4, each behind its sizes. Memory: up to 64 KiB while it is written, and nothing by block.
public final class RecordFile {
  private static let blockBytes = 1 << 15
  static let headerBytes = 26
  /// A block is written once it is full, by a record that may be the longest.
  static let mostRawBytes = blockBytes + headerBytes + Int(UInt16.max)
  /// u32 bytes of a block packed, and before.
  static let sizesBytes = 8

  let file: File
  private(set) var end = 0
  private var pending: GrowableBuffer<UInt8>?
  private let packed = GrowableBuffer<UInt8>()

  /// - Parameter directory: where the temporary file lies.
  public init(directory: String) throws { file = try File(temporaryIn: directory) }

  /// Appends a record with at most 65,535 bytes.
  public func append(_ record: FileRecord, _ bytes: UnsafeRawBufferPointer) throws {
    let buffer = pending ?? GrowableBuffer<UInt8>()
    pending = buffer
    let target = UnsafeMutableRawPointer(buffer.extend(by: Self.headerBytes + bytes.count))
    target.storeBytes(of: record.first, as: UInt64.self)
    target.storeBytes(of: record.second, toByteOffset: 8, as: UInt64.self)
    target.storeBytes(of: record.third, toByteOffset: 16, as: UInt64.self)
    target.storeBytes(of: UInt16(bytes.count), toByteOffset: 24, as: UInt16.self)
    if let source = bytes.baseAddress {
      (target + Self.headerBytes).copyMemory(from: source, byteCount: bytes.count)
    }
    if buffer.count >= Self.blockBytes { try flush() }
  }

  /// Writes the rest and frees the memory.
  public func finish() throws {
    try flush()
    pending = nil
  }

  private func flush() throws {
    guard let buffer = pending, buffer.count > 0 else { return }
    packed.removeAll()
    _ = packed.extend(by: Self.sizesBytes)
    let count = try LZ4Block.compress(buffer.bytes, into: packed)
    let sizes = UnsafeMutableRawPointer(packed.base)
    sizes.storeBytes(of: UInt32(count), as: UInt32.self)
    sizes.storeBytes(of: UInt32(buffer.count), toByteOffset: 4, as: UInt32.self)
    try file.write(packed.bytes)
    end += packed.count
    buffer.removeAll()
  }
}

/// What readers of several files share: one packed block, so that many can be open. For one thread.
public final class RecordDecoder {
  let packed = GrowableBuffer<UInt8>()

  public init() {}
}

/// Reads the records of a file front to back; memory for one block.
public final class RecordReader {
  private let source: RecordFile
  private let decoder: RecordDecoder
  private let raw = GrowableBuffer<UInt8>()
  /// Where the next block lies.
  private var offset = 0
  private var position = 0
  /// The record that `next` found.
  public private(set) var record = FileRecord(first: 0, second: 0, third: 0)
  private var valueBytes = 0
  /// The most memory of one reader.
  public static let bytes = 4 << 15

  /// - Parameter source: must be finished.
  public init(_ source: RecordFile, _ decoder: RecordDecoder) {
    self.source = source
    self.decoder = decoder
  }

  /// The bytes of the record; valid until the next call of `next`.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: raw.base + (position - valueBytes), count: valueBytes)
  }

  /// Goes to the next record; false after the last.
  public func next() throws -> Bool {
    if position == raw.count {
      guard offset < source.end else { return false }
      try load()
    }
    let start = UnsafeRawPointer(raw.base + position)
    record = FileRecord(
      first: start.loadUnaligned(as: UInt64.self),
      second: start.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
      third: start.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    valueBytes = Int(start.loadUnaligned(fromByteOffset: 24, as: UInt16.self))
    position += RecordFile.headerBytes + valueBytes
    return true
  }

  private func load() throws {
    let (packedBytes, rawBytes) = try withUnsafeTemporaryAllocation(
      byteCount: RecordFile.sizesBytes, alignment: 4
    ) { sizes in
      if let base = sizes.baseAddress { try source.file.read(at: offset, into: base, count: sizes.count) }
      return (Int(sizes.load(as: UInt32.self)), Int(sizes.load(fromByteOffset: 4, as: UInt32.self)))
    }
    guard packedBytes <= source.end - offset - RecordFile.sizesBytes, rawBytes <= RecordFile.mostRawBytes
    else {
      throw ChanterError(
        .io,
        "a temporary file reads back otherwise than it was written; the disk is failing: run the command again with"
          + " its output on another", path: source.file.path, offset: offset)
    }
    let packed = decoder.packed
    packed.removeAll()
    try source.file.read(
      at: offset + RecordFile.sizesBytes, into: packed.extend(by: packedBytes), count: packedBytes)
    offset += RecordFile.sizesBytes + packedBytes
    raw.removeAll()
    position = 0
    let target = UnsafeMutableRawBufferPointer(start: raw.extend(by: rawBytes), count: rawBytes)
    if let problem = LZ4Block.decode(packed.bytes, into: target) {
      throw ChanterError(
        .corrupt, "the temporary file reads back wrong (\(problem)); run the command again",
        path: source.file.path)
    }
  }
}
