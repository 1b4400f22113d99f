import CLZ4
import Primitives

/// One lz4 frame per record (LZ4 Frame Format 1.6): independent blocks of at most 256 KiB, content size in the header,
/// content checksum (XXH32) at the end.
enum LZ4Frame {
  private static var preferences: LZ4F_preferences_t {
    var preferences = LZ4F_preferences_t()
    preferences.frameInfo.blockSizeID = LZ4F_max256KB
    preferences.frameInfo.blockMode = LZ4F_blockIndependent
    preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
    return preferences
  }

  /// What liblz4 allocates to decode such frames: its context and one block.
  static let decoderBytes = (256 << 10) + (128 << 10) + 1024

  /// The most bytes that a frame of `count` raw bytes takes.
  static func bound(_ count: Int) -> Int {
    var preferences = preferences
    preferences.frameInfo.contentSize = UInt64(count)
    return LZ4F_compressFrameBound(count, &preferences)
  }

  /// Appends the frame of `raw` to `target` and returns its length.
  static func compress(_ raw: UnsafeRawBufferPointer, into target: GrowableBuffer<UInt8>) throws -> Int {
    var preferences = preferences
    preferences.frameInfo.contentSize = UInt64(raw.count)
    let start = target.count
    let capacity = LZ4F_compressFrameBound(raw.count, &preferences)
    let length = LZ4F_compressFrame(
      target.extend(by: capacity), capacity, raw.baseAddress, raw.count, &preferences)
    guard LZ4F_isError(length) == 0 else {
      throw ChanterError(.broken, "lz4: \(String(cString: LZ4F_getErrorName(length)))")
    }
    target.truncate(to: start + length)
    return length
  }
}

/// A reusable lz4 decoder.
final class LZ4Decoder {
  private let context: OpaquePointer

  init() throws {
    var context: OpaquePointer?
    let code = LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))
    guard LZ4F_isError(code) == 0, let context else { throw ChanterError(.broken, "lz4 gives no decoder") }
    self.context = context
  }

  deinit { LZ4F_freeDecompressionContext(context) }

  /// Decodes one frame that must fill `target` exactly and end with `source`; nil if so, else what is wrong.
  func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> String? {
    LZ4F_resetDecompressionContext(context)
    var consumed = 0
    var produced = 0
    while true {
      var taken = source.count - consumed
      var given = target.count - produced
      let code = LZ4F_decompress(
        context, target.baseAddress.map { $0 + produced }, &given, source.baseAddress.map { $0 + consumed },
        &taken, nil)
      if LZ4F_isError(code) != 0 { return "lz4 says \(String(cString: LZ4F_getErrorName(code)))" }
      consumed += taken
      produced += given
      if code == 0 { break }
      if taken == 0 && given == 0 { return "the lz4 frame is cut short or too long" }
    }
    guard consumed == source.count else { return "bytes follow the lz4 frame" }
    return produced == target.count ? nil : "the lz4 frame holds \(produced) bytes, not \(target.count)"
  }
}
