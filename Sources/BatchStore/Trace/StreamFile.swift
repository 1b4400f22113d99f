import Primitives
import Synchronization

/// Many streams of bytes in one temporary file, each read back in the order in which it was written.
///
/// A stream is cut into blocks of about 32 KiB, packed with lz4. Blocks of all streams follow one another in the file as they
/// come; each has a header that names its stream, so that the streams can be found again after the process was killed, and behind
/// the header the offset of the stream's next block. Streams may be written from several threads, each stream by one at a time.
public final class StreamFile: Sendable {
  static let headerBytes = 24
  fileprivate static let linkOffset = 16
  static let blockBytes = 1 << 15

  let file: File
  private let end: Atomic<Int>

  /// A file without a name, whose space is free again as soon as nothing refers to it.
  public init(temporaryIn directory: String) throws {
    file = try File(temporaryIn: directory)
    end = Atomic(0)
  }

  /// A file of this name, which is made; what lies beyond the first `bytes` of one that is there is dropped.
  public init(_ path: String, keeping bytes: Int = 0) throws {
    file = try File(updating: path)
    try file.truncate(to: bytes)
    end = Atomic(bytes)
  }

  /// Bytes of all blocks so far.
  public var bytes: Int { end.load(ordering: .relaxed) }

  fileprivate func append(_ bytes: UnsafeRawBufferPointer) throws -> Int {
    let offset = end.wrappingAdd(bytes.count, ordering: .relaxed).oldValue
    try file.write(bytes, at: offset)
    return offset
  }

  /// Makes the block at `offset` the one behind the block at `earlier`.
  fileprivate func link(_ offset: Int, after earlier: Int) throws {
    try withUnsafeBytes(of: UInt64(offset).littleEndian) { try file.write($0, at: earlier + Self.linkOffset) }
  }

  /// What the header of a block says.
  fileprivate struct Header {
    var number: Int
    var rawBytes: Int
    var packedBytes: Int
    /// Where the next block of the stream lies, if there is one.
    var next: Int
  }

  fileprivate func header(at offset: Int) throws -> Header {
    try withUnsafeTemporaryAllocation(byteCount: Self.headerBytes, alignment: 8) { bytes in
      if let base = bytes.baseAddress { try file.read(at: offset, into: base, count: bytes.count) }
      var cursor = ByteCursor(UnsafeRawBufferPointer(bytes), path: file.path, origin: offset)
      let number = Int(try cursor.integer(UInt32.self))
      let (raw, packed) = (try cursor.integer(UInt32.self), try cursor.integer(UInt32.self))
      guard try cursor.checksumMatches() else {
        throw ChanterError(
          .corrupt, "the temporary file reads back wrong; remove its directory", path: file.path,
          offset: offset)
      }
      return Header(
        number: number, rawBytes: Int(raw), packedBytes: Int(packed),
        next: Int(clamping: try cursor.integer(UInt64.self)))
    }
  }

  /// The streams with the numbers below `count`, as the headers of the blocks tell.
  public func streams(_ count: Int) throws -> [ByteStream] {
    let streams = (0..<count).map { ByteStream(self, number: $0) }
    var offset = 0
    while offset < bytes {
      let header = try header(at: offset)
      guard header.number < count else {
        throw ChanterError(
          .corrupt, "the temporary file reads back wrong; remove its directory", path: file.path,
          offset: offset)
      }
      // The offset of a block that was dropped may stand there.
      try streams[header.number].add(offset)
      offset += Self.headerBytes + header.packedBytes
    }
    return streams
  }
}

/// One stream of a `StreamFile`: where its blocks begin and end. Memory does not grow with them.
public final class ByteStream {
  let file: StreamFile
  fileprivate let number: Int
  fileprivate private(set) var blocks = 0
  fileprivate private(set) var first = 0
  private var last = 0

  init(_ file: StreamFile, number: Int) {
    self.file = file
    self.number = number
  }

  /// Takes the block at `offset` as its last.
  fileprivate func add(_ offset: Int) throws {
    if blocks == 0 {
      first = offset
    } else {
      try file.link(offset, after: last)
    }
    last = offset
    blocks += 1
  }
}

/// Appends to one stream. Memory: a block, as soon as something is appended and until `finish`; more for longer values.
public final class StreamWriter {
  /// The memory of one that is full of short values.
  public static let bytes = StreamFile.blockBytes + 1024
  /// What makes a block: so much that the next short record does not outgrow the buffer.
  private static let fullBytes = StreamFile.blockBytes - 256
  public let stream: ByteStream
  private var raw = GrowableBuffer<UInt8>(capacity: 1)

  /// - Parameters:
  ///   - number: what the headers of the blocks call the stream.
  ///   - stream: one that is there already, to be continued.
  public init(_ file: StreamFile, number: Int = 0, continuing stream: ByteStream? = nil) {
    self.stream = stream ?? ByteStream(file, number: number)
  }

  public func append(byte: UInt8) throws {
    raw.append(byte)
    if raw.count >= Self.fullBytes { try flush() }
  }

  public func append(_ value: UInt32) throws {
    UnsafeMutableRawPointer(raw.extend(by: 4)).storeBytes(of: value, as: UInt32.self)
    if raw.count >= Self.fullBytes { try flush() }
  }

  /// Up to three numbers in seven bits a byte, then bytes, which may be none. A record never spans two blocks.
  public func append(_ first: UInt64, _ second: UInt64, _ bytes: UnsafeRawBufferPointer) throws {
    // A number takes at most ten bytes.
    let start = raw.count
    let target = raw.extend(by: 30 + bytes.count)
    var end = target
    Self.put(first, &end)
    Self.put(second, &end)
    Self.put(UInt64(bytes.count), &end)
    if let source = bytes.baseAddress {
      UnsafeMutableRawPointer(end).copyMemory(from: source, byteCount: bytes.count)
      end += bytes.count
    }
    raw.truncate(to: start + target.distance(to: end))
    if raw.count >= Self.fullBytes { try flush() }
  }

  @inline(__always)
  private static func put(_ value: UInt64, _ target: inout UnsafeMutablePointer<UInt8>) {
    var rest = value
    while rest >= 128 {
      target.pointee = UInt8(truncatingIfNeeded: rest) | 128
      target += 1
      rest >>= 7
    }
    target.pointee = UInt8(truncatingIfNeeded: rest)
    target += 1
  }

  /// Writes what is pending as a block, however short.
  public func flush() throws {
    guard raw.count > 0 else { return }
    let block = GrowableBuffer<UInt8>(capacity: StreamFile.headerBytes + LZ4Block.bound(raw.count))
    _ = block.extend(by: StreamFile.headerBytes)
    let packed = try LZ4Block.compress(raw.bytes, into: block)
    let header = GrowableBuffer<UInt8>(capacity: StreamFile.headerBytes)
    header.append(integer: UInt32(stream.number))
    header.append(integer: UInt32(raw.count))
    header.append(integer: UInt32(packed))
    header.appendChecksum(from: 0)
    header.append(integer: UInt64(0))
    UnsafeMutableRawPointer(block.base).copyMemory(from: header.base, byteCount: StreamFile.headerBytes)
    try stream.add(stream.file.append(block.bytes))
    raw.removeAll()
  }

  /// Writes the rest and frees the memory.
  public func finish() throws {
    try flush()
    raw = GrowableBuffer<UInt8>(capacity: 1)
  }
}

/// Reads one stream front to back, with the calls that it was written with. Memory: two blocks.
public final class StreamReader {
  /// The most memory of one.
  public static let bytes = 3 * StreamFile.blockBytes
  private let stream: ByteStream
  private let packed = GrowableBuffer<UInt8>(capacity: 1)
  private let raw = GrowableBuffer<UInt8>(capacity: 1)
  /// Blocks that were read, and where the next one lies.
  private var blocks = 0
  private var offset: Int
  private var position = 0
  /// The numbers of the record that `next` found.
  public private(set) var first: UInt64 = 0
  public private(set) var second: UInt64 = 0
  /// Its bytes, valid until the next call.
  public private(set) var bytes = UnsafeRawBufferPointer(start: nil, count: 0)

  /// - Parameter stream: what it has by now is read.
  public init(_ stream: ByteStream) {
    self.stream = stream
    offset = stream.first
  }

  /// Goes to the next record; false after the last.
  public func next() throws -> Bool {
    if position == raw.count {
      guard blocks < stream.blocks else { return false }
      try load()
    }
    first = try number()
    second = try number()
    let count = Int(try number())
    guard count <= raw.count - position else { throw damaged("a record is cut short") }
    bytes = UnsafeRawBufferPointer(start: raw.base + position, count: count)
    position += count
    return true
  }

  public func nextByte() throws -> UInt8 {
    if position == raw.count { try load() }
    defer { position += 1 }
    return raw.base[position]
  }

  public func nextInteger() throws -> UInt32 {
    if position == raw.count { try load() }
    guard position + 4 <= raw.count else { throw damaged("a number is cut short") }
    defer { position += 4 }
    return UnsafeRawPointer(raw.base + position).loadUnaligned(as: UInt32.self)
  }

  @inline(__always)
  private func number() throws -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < raw.count, shift < 64 {
      let byte = raw.base[position]
      position += 1
      value |= UInt64(byte & 127) << shift
      if byte < 128 { return value }
      shift += 7
    }
    throw damaged("a number is cut short")
  }

  private func load() throws {
    guard blocks < stream.blocks else { throw damaged("a stream ends too early") }
    let header = try stream.file.header(at: offset)
    // A place behind this one, or the chain might go round.
    guard header.number == stream.number, blocks + 1 == stream.blocks || header.next > offset else {
      throw damaged("a block leads nowhere")
    }
    packed.removeAll()
    let count = header.packedBytes
    try stream.file.file.read(
      at: offset + StreamFile.headerBytes, into: packed.extend(by: count), count: count)
    blocks += 1
    offset = header.next
    raw.removeAll()
    position = 0
    let rawBytes = header.rawBytes
    let target = UnsafeMutableRawBufferPointer(start: raw.extend(by: rawBytes), count: rawBytes)
    if let problem = LZ4Block.decode(packed.bytes, into: target) { throw damaged(problem) }
  }

  private func damaged(_ what: String) -> ChanterError {
    ChanterError(
      .corrupt, "the temporary file reads back wrong (\(what)); run the command again",
      path: stream.file.file.path)
  }
}
