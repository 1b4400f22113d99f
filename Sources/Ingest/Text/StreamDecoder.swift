import CZlib
import CZstd
import Primitives

/// Unpacks a stream piece by piece. Streams one after another are one, as their tools have it.
protocol StreamDecoder: AnyObject {
  var name: String { get }
  /// Whether a stream ended with the last byte that was taken.
  var isAtEnd: Bool { get }
  /// Takes bytes from `source` and gives text to `target`, either of them perhaps none.
  func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> DecodeStep
}

struct DecodeStep {
  var taken: Int
  var given: Int
  /// What is wrong with the stream.
  var problem: String?
}

final class GzipDecoder: StreamDecoder {
  let name = "gzip"
  private(set) var isAtEnd = false
  /// On the heap, because zlib remembers its address.
  private let stream: UnsafeMutablePointer<z_stream>

  init() throws {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // A window of up to 2^15 bytes, and 16 for a gzip header.
    let code = inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else {
      stream.deallocate()
      throw ChanterError(.broken, "zlib gives no decoder (\(code))")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> DecodeStep {
    if isAtEnd, !source.isEmpty {
      inflateReset(stream)
      isAtEnd = false
    }
    // zlib only reads through this pointer.
    stream.pointee.next_in = UnsafeMutablePointer(
      mutating: source.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(source.count)
    stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_out = UInt32(target.count)
    let code = isAtEnd ? Z_OK : inflate(stream, Z_NO_FLUSH)
    if code == Z_STREAM_END { isAtEnd = true }
    var step = DecodeStep(
      taken: source.count - Int(stream.pointee.avail_in), given: target.count - Int(stream.pointee.avail_out))
    // A buffer error says that there was nothing to do.
    if code != Z_OK, code != Z_STREAM_END, code != Z_BUF_ERROR {
      step.problem = stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(code)"
    }
    return step
  }
}

final class ZstdDecoder: StreamDecoder {
  /// Frames may ask for a window of this many bytes, which is the limit of the zstd tool too.
  static let largestWindow = 1 << 27

  let name = "zstd"
  private(set) var isAtEnd = false
  private let stream: OpaquePointer

  /// - Parameter windowBytes: the most memory that a frame may ask for.
  init(windowBytes: Int) throws {
    guard let stream = ZSTD_createDStream() else { throw ChanterError(.broken, "zstd gives no decoder") }
    self.stream = stream
    let window = max(1, min(Self.largestWindow, windowBytes))
    ZSTD_DCtx_setParameter(
      stream, ZSTD_d_windowLogMax, Int32(Int.bitWidth - 1 - window.leadingZeroBitCount))
  }

  deinit { ZSTD_freeDStream(stream) }

  func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> DecodeStep {
    if isAtEnd, source.isEmpty { return DecodeStep(taken: 0, given: 0) }
    var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
    var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
    let code = ZSTD_decompressStream(stream, &output, &input)
    var step = DecodeStep(taken: input.pos, given: output.pos)
    if ZSTD_isError(code) != 0 {
      step.problem =
        ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge
        ? "it asks for more memory than there is for unpacking; give more --memory, or pack it again without --long"
        : String(cString: ZSTD_getErrorName(code))
    } else {
      isAtEnd = code == 0
    }
    return step
  }
}
