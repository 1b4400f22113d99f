import CLZ4
import Primitives

/// Packed bytes: the CRC32C of what follows, little-endian, then one lz4 block (LZ4 Block Format). Whoever reads it knows its size
/// and that of what it holds.
///
/// lz4's own frames carry an XXH32 of the unpacked bytes, which took a quarter of the time to decode a batch.
enum LZ4Block {
  private static let checksumBytes = 4

  /// The most bytes that `count` raw bytes take.
  static func bound(_ count: Int) -> Int { checksumBytes + count + count / 255 + 16 }

  /// Appends the packed form of `raw` to `target` and returns its length.
  static func compress(_ raw: UnsafeRawBufferPointer, into target: GrowableBuffer<UInt8>) throws -> Int {
    guard raw.count <= Int(LZ4_MAX_INPUT_SIZE) else {
      throw ChanterError(.unsupported, "\(raw.count) bytes are more than lz4 packs at once")
    }
    let start = target.count
    let capacity = bound(raw.count)
    let place = target.extend(by: capacity)
    let length = Int(
      LZ4_compress_default(
        raw.baseAddress, place + checksumBytes, Int32(raw.count), Int32(clamping: capacity - checksumBytes)))
    guard length > 0 else { throw ChanterError(.broken, "lz4 does not pack \(raw.count) bytes") }
    let checksum = CRC32C.checksum(UnsafeRawBufferPointer(start: place + checksumBytes, count: length))
    UnsafeMutableRawPointer(place).storeBytes(of: checksum.littleEndian, as: UInt32.self)
    target.truncate(to: start + checksumBytes + length)
    return checksumBytes + length
  }

  /// Whether the checksum of a packed block is right.
  static func isIntact(_ source: UnsafeRawBufferPointer) -> Bool {
    source.count > checksumBytes
      && UInt32(littleEndian: source.loadUnaligned(as: UInt32.self))
        == CRC32C.checksum(UnsafeRawBufferPointer(rebasing: source[checksumBytes...]))
  }

  /// Unpacks all of `source`, which must fill `target` exactly; nil if so, else what is wrong.
  static func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> String?
  {
    guard source.count > checksumBytes, source.count <= Int(Int32.max), target.count <= Int(Int32.max) else {
      return "it has an impossible size"
    }
    guard isIntact(source) else { return "its checksum is wrong" }
    let block = UnsafeRawBufferPointer(rebasing: source[checksumBytes...])
    let length = LZ4_decompress_safe(
      block.baseAddress, target.baseAddress, Int32(block.count), Int32(target.count))
    return length == Int32(target.count) ? nil : "lz4 does not unpack it to \(target.count) bytes"
  }
}
