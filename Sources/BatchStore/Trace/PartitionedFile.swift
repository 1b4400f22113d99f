import Primitives

/// A record of three numbers and perhaps some bytes.
public struct PartitionRecord {
  public var a: UInt64
  public var b: UInt64
  public var c: UInt64

  public init(a: UInt64, b: UInt64, c: UInt64 = 0) {
    self.a = a
    self.b = b
    self.c = c
  }
}

/// Streams of records in one temporary file, each read back in the order in which it was written.
///
/// Blocks of 32 KiB of one partition, packed with lz4. Memory: up to 64 KiB by partition that is written, and 16 bytes
/// by block.
public final class PartitionedFile {
  struct Block {
    var offset: Int
    var packedBytes: UInt32
    var rawBytes: UInt32
  }

  private static let blockBytes = 1 << 15
  static let headerBytes = 26

  let file: File
  private(set) var blocks: [GrowableBuffer<Block>]
  private var pending: [GrowableBuffer<UInt8>?]
  private let packed = GrowableBuffer<UInt8>()
  private var end = 0
  public var partitionCount: Int { blocks.count }
  /// The most memory that writing takes.
  public static func writingBytes(partitions: Int) -> Int {
    partitions * (2 * blockBytes + 4096) + 4 * blockBytes
  }

  /// - Parameter directory: where the temporary file lies.
  public init(directory: String, partitions: Int) throws {
    file = try File(temporaryIn: directory)
    blocks = (0..<partitions).map { _ in GrowableBuffer() }
    pending = [GrowableBuffer<UInt8>?](repeating: nil, count: partitions)
  }

  /// Appends a record with at most 65,535 bytes.
  public func append(
    _ record: PartitionRecord, _ bytes: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
    to partition: Int
  ) throws {
    let buffer = pending[partition] ?? GrowableBuffer<UInt8>()
    pending[partition] = buffer
    let target = UnsafeMutableRawPointer(buffer.extend(by: Self.headerBytes + bytes.count))
    target.storeBytes(of: record.a, as: UInt64.self)
    target.storeBytes(of: record.b, toByteOffset: 8, as: UInt64.self)
    target.storeBytes(of: record.c, toByteOffset: 16, as: UInt64.self)
    target.storeBytes(of: UInt16(bytes.count), toByteOffset: 24, as: UInt16.self)
    if let source = bytes.baseAddress {
      (target + Self.headerBytes).copyMemory(from: source, byteCount: bytes.count)
    }
    if buffer.count >= Self.blockBytes { try flush(partition) }
  }

  /// Ends the stream of one partition and frees its memory.
  public func finish(_ partition: Int) throws {
    try flush(partition)
    pending[partition] = nil
  }

  /// Ends every stream.
  public func finish() throws { for partition in blocks.indices { try finish(partition) } }

  private func flush(_ partition: Int) throws {
    guard let buffer = pending[partition], buffer.count > 0 else { return }
    packed.removeAll()
    _ = try LZ4Block.compress(buffer.bytes, into: packed)
    try file.write(packed.bytes)
    blocks[partition].append(
      Block(offset: end, packedBytes: UInt32(packed.count), rawBytes: UInt32(buffer.count)))
    end += packed.count
    buffer.removeAll()
  }
}

/// What readers of partitions share: one packed block, so that many streams can be open. For one thread.
public final class PartitionDecoder {
  let packed = GrowableBuffer<UInt8>()

  public init() {}
}

/// Reads one partition front to back; memory for one block.
public final class PartitionReader {
  private let source: PartitionedFile
  private let decoder: PartitionDecoder
  private let partition: Int
  private let raw = GrowableBuffer<UInt8>()
  private var nextBlock = 0
  private var position = 0
  /// The record that `next` found.
  public private(set) var record = PartitionRecord(a: 0, b: 0)
  private var valueBytes = 0
  /// The most memory of one reader.
  public static let bytes = 4 << 15

  /// - Parameter source: must be finished.
  public init(_ source: PartitionedFile, _ partition: Int, _ decoder: PartitionDecoder) {
    self.source = source
    self.partition = partition
    self.decoder = decoder
  }

  /// The bytes of the record; valid until the next call of `next`.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: raw.base + (position - valueBytes), count: valueBytes)
  }

  /// Goes to the next record; false after the last.
  public func next() throws -> Bool {
    if position == raw.count {
      guard nextBlock < source.blocks[partition].count else { return false }
      try load(source.blocks[partition].base[nextBlock])
      nextBlock += 1
    }
    let start = UnsafeRawPointer(raw.base + position)
    record = PartitionRecord(
      a: start.loadUnaligned(as: UInt64.self), b: start.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
      c: start.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    valueBytes = Int(start.loadUnaligned(fromByteOffset: 24, as: UInt16.self))
    position += PartitionedFile.headerBytes + valueBytes
    return true
  }

  private func load(_ block: PartitionedFile.Block) throws {
    let count = Int(block.packedBytes)
    let packed = decoder.packed
    packed.removeAll()
    try source.file.read(at: block.offset, into: packed.extend(by: count), count: count)
    raw.removeAll()
    position = 0
    let rawBytes = Int(block.rawBytes)
    let target = UnsafeMutableRawBufferPointer(start: raw.extend(by: rawBytes), count: rawBytes)
    if let problem = LZ4Block.decode(packed.bytes, into: target) {
      throw ChanterError(
        .corrupt, "the temporary file reads back wrong (\(problem)); run the command again",
        path: source.file.path)
    }
  }
}
