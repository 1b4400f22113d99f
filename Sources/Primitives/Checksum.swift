import CSupport
import CXXHash

/// CRC32C with the CPU's instruction: the checksum of blocks, chunks and records.
public enum CRC32C {
  public static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    chanter_crc32c(seed, bytes.baseAddress, bytes.count)
  }
}

/// A 128-bit fingerprint of a stream of bytes (XXH3, xxHash specification 0.8), for identities and digests.
///
/// Not a defence against someone who makes collisions on purpose; two models that differ by accident differ here.
public struct Fingerprint: ~Copyable {
  private let state: OpaquePointer

  public init() {
    state = XXH3_createState()
    XXH3_128bits_reset(state)
  }

  deinit { XXH3_freeState(state) }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    XXH3_128bits_update(state, base, bytes.count)
  }

  public mutating func update(_ text: String) {
    var text = text
    text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
  }

  /// The integer as 8 little-endian bytes.
  public mutating func update(_ value: UInt64) {
    var value = value.littleEndian
    withUnsafeBytes(of: &value) { update($0) }
  }

  /// The digest so far as 32 hexadecimal digits.
  public var hex: String {
    let hash = XXH3_128bits_digest(state)
    return hexadecimal(hash.high64) + hexadecimal(hash.low64)
  }

  /// 64-bit XXH3 of a few bytes, for hash tables.
  public static func short(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    XXH3_64bits(bytes.baseAddress, bytes.count)
  }
}

private func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
