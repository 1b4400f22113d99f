import CZstd
import Primitives

/// Writes lines to a zstd file, which is read back as an input.
final class PackedText {
  private let file: File
  private let stream: OpaquePointer
  private let raw = AlignedBuffer<UInt8>(count: 1 << 17)
  private let packed = AlignedBuffer<UInt8>(count: 1 << 17)
  private var used = 0
  /// Buffers, and what libzstd takes at this level.
  static let bytes = 2 << 17 + 2 << 20
  /// Text is temporary: speed counts for more than size.
  private static let level: Int32 = 1

  init(creating path: String) throws {
    file = try File(creating: path)
    guard let stream = ZSTD_createCCtx() else { throw ChanterError(.broken, "zstd gives no encoder") }
    self.stream = stream
    ZSTD_CCtx_setParameter(stream, ZSTD_c_compressionLevel, Self.level)
  }

  deinit { ZSTD_freeCCtx(stream) }

  func append(_ line: UnsafeRawBufferPointer) throws {
    try write(line)
    var end: UInt8 = 10
    try withUnsafeBytes(of: &end) { try write($0) }
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let count = min(bytes.count - done, raw.count - used)
      UnsafeMutableRawPointer(raw.base + used).copyMemory(from: base + done, byteCount: count)
      used += count
      done += count
      if used == raw.count { try flush(ZSTD_e_continue) }
    }
  }

  func finish() throws {
    try flush(ZSTD_e_end)
  }

  private func flush(_ end: ZSTD_EndDirective) throws {
    var input = ZSTD_inBuffer(src: raw.base, size: used, pos: 0)
    while true {
      var output = ZSTD_outBuffer(dst: packed.base, size: packed.count, pos: 0)
      let left = ZSTD_compressStream2(stream, &output, &input, end)
      guard ZSTD_isError(left) == 0 else {
        throw ChanterError(.broken, "zstd: \(String(cString: ZSTD_getErrorName(left)))")
      }
      try file.write(UnsafeRawBufferPointer(start: packed.base, count: output.pos))
      if end == ZSTD_e_end ? left == 0 : input.pos == input.size { break }
    }
    used = 0
  }
}
