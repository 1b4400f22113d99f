import Primitives

/// Fixed parts of a segment file; `Format.md` has the layout. All integers little-endian. Do not renumber.
enum SegmentFormat {
  static let version: UInt32 = 3
  static let headerMagic: UInt64 = 0x3148_4354_4142_4843  // "CHBATCH1"
  static let footerMagic: UInt64 = 0x444E_4554_4142_4843  // "CHBATEND"
  static let frameMagic: UInt32 = 0x4642_4843  // "CHBF"
  static let headerBytes = 48
  static let frameHeaderBytes = 32
  static let indexEntryBytes = 24
  static let footerBytes = 32

  static let fileSuffix = ".batches"

  static func filePrefix(_ split: Split) -> String { split.rawValue + "-" }

  static func fileName(_ split: Split, _ number: Int) -> String {
    let digits = String(number)
    return filePrefix(split) + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
      + fileSuffix
  }
}

/// The header of a segment.
struct SegmentHeader: Equatable {
  var split: Split
  var number: Int
  var shape: SampleShape
  var batchSize: Int
  var firstBatch: Int

  func write(to target: GrowableBuffer<UInt8>) {
    let start = target.count
    target.append(integer: SegmentFormat.headerMagic)
    target.append(integer: SegmentFormat.version)
    target.append(integer: split.code)
    target.append(integer: UInt32(number))
    target.append(integer: UInt32(shape.tableCount))
    target.append(integer: UInt32(shape.denseCount))
    target.append(integer: UInt32(batchSize))
    target.append(integer: UInt32(shape.featureCount))
    target.append(integer: UInt64(firstBatch))
    target.appendChecksum(from: start)
  }

  /// Checks that `bytes` (48 of them) are this very header.
  func check(_ bytes: UnsafeRawBufferPointer, path: String) throws {
    var cursor = ByteCursor(bytes, path: path, origin: 0)
    guard try cursor.integer(UInt64.self) == SegmentFormat.headerMagic else {
      throw cursor.corrupt("this is not a segment of batches (wrong magic)")
    }
    let version = try cursor.integer(UInt32.self)
    guard version == SegmentFormat.version else {
      throw ChanterError(
        .unsupported,
        "the segment has format version \(version), this program reads version \(SegmentFormat.version); run preprocess again",
        path: path, offset: 8)
    }
    let expected = GrowableBuffer<UInt8>(capacity: SegmentFormat.headerBytes)
    write(to: expected)
    guard bytes.elementsEqual(expected.bytes) else {
      throw cursor.corrupt("the header of the segment is damaged or belongs to another dataset")
    }
  }
}

/// The header of a frame, and (without magic, number and checksum) its entry in the index.
struct FrameHeader {
  var batch: Int
  var sampleCount: Int
  var uniqueCount: Int
  var rawBytes: Int
  /// Bytes of the packed batch after this header.
  var compressedBytes: Int

  func write(to target: GrowableBuffer<UInt8>) {
    let start = target.count
    target.append(integer: SegmentFormat.frameMagic)
    target.append(integer: UInt32(batch))
    target.append(integer: UInt32(sampleCount))
    target.append(integer: UInt32(uniqueCount))
    target.append(integer: UInt32(rawBytes))
    target.append(integer: UInt32(compressedBytes))
    target.append(integer: UInt32(0))
    target.appendChecksum(from: start)
  }

  static func read(_ bytes: UnsafeRawBufferPointer, path: String, offset: Int) throws -> FrameHeader {
    var cursor = ByteCursor(bytes, path: path, origin: offset)
    guard try cursor.integer(UInt32.self) == SegmentFormat.frameMagic else {
      throw cursor.corrupt("no frame starts here (wrong magic)")
    }
    let header = FrameHeader(
      batch: Int(try cursor.integer(UInt32.self)), sampleCount: Int(try cursor.integer(UInt32.self)),
      uniqueCount: Int(try cursor.integer(UInt32.self)), rawBytes: Int(try cursor.integer(UInt32.self)),
      compressedBytes: Int(try cursor.integer(UInt32.self)))
    guard try cursor.integer(UInt32.self) == 0, try cursor.checksumMatches() else {
      throw cursor.corrupt("the header of this frame is damaged")
    }
    return header
  }
}

extension GrowableBuffer<UInt8> {
  /// Appends the CRC32C of everything from `start` on.
  func appendChecksum(from start: Int) {
    append(integer: CRC32C.checksum(UnsafeRawBufferPointer(start: base + start, count: count - start)))
  }
}

extension ByteCursor {
  /// Reads a CRC32C and compares it with everything before it.
  mutating func checksumMatches() throws -> Bool {
    let covered = UnsafeRawBufferPointer(rebasing: bytes[0..<position])
    return try integer(UInt32.self) == CRC32C.checksum(covered)
  }
}
