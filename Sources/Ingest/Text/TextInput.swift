import Primitives

/// One input as text, whatever it is packed in: plain, gzip or zstd, told by its first bytes.
final class TextInput {
  private static let bufferBytes = 1 << 17

  private let file: File
  private let packed = AlignedBuffer<UInt8>(count: bufferBytes)
  private var position = 0
  private var end = 0
  private var decoder: (any StreamDecoder)?
  /// Whether the last call filled its target, so that the decoder may hold more without new input.
  private var mayHoldText = false
  /// Bytes read so far, as they lie on the disk.
  private(set) var readBytes = 0
  /// Bytes of text given so far, or skipped.
  private(set) var textBytes = 0

  /// - Parameters:
  ///   - name: a path, or `-` for standard input.
  ///   - windowBytes: the most memory that a packed input may ask for.
  init(_ name: String, windowBytes: Int = ZstdDecoder.largestWindow) throws {
    file = name == "-" ? try File.standardInput() : try File(reading: name)
    // A pipe may give its first bytes one by one.
    while end < 4, try fill() {}
    let start = packed.prefix(end)
    if start.starts(with: [0x1F, 0x8B]) {
      decoder = try GzipDecoder()
    } else if start.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) || Self.isSkippableFrame(start) {
      decoder = try ZstdDecoder(windowBytes: windowBytes)
    }
  }

  var isPacked: Bool { decoder != nil }

  /// Goes on `bytes` bytes of text further on; before the first call of `read`.
  func skip(_ bytes: Int) throws {
    if decoder == nil {
      try file.seek(to: bytes)
      position = 0
      end = 0
      readBytes = bytes
      textBytes = bytes
      return
    }
    let scratch = AlignedBuffer<UInt8>(count: Self.bufferBytes)
    while textBytes < bytes {
      guard try read(into: scratch.base, atMost: min(scratch.count, bytes - textBytes)) > 0 else {
        throw corrupt("the input is shorter than it was")
      }
    }
  }

  /// A zstd frame with no text, such as those with which pzstd begins a file.
  private static func isSkippableFrame(_ start: UnsafeMutableBufferPointer<UInt8>) -> Bool {
    start.count >= 4 && start[0] & 0xF0 == 0x50 && start[1] == 0x2A && start[2] == 0x4D && start[3] == 0x18
  }

  /// The next bytes of text, at most `count` of them; 0 at the end. A packed input that is cut short is an error.
  func read(into target: UnsafeMutablePointer<UInt8>, atMost count: Int) throws -> Int {
    let got = try readText(into: target, atMost: count)
    textBytes += got
    return got
  }

  private func readText(into target: UnsafeMutablePointer<UInt8>, atMost count: Int) throws -> Int {
    guard let decoder else { return try readPlain(into: target, atMost: count) }
    while true {
      if position == end, !mayHoldText {
        position = 0
        end = 0
        if try !fill() {
          guard decoder.isAtEnd else {
            throw corrupt("the \(decoder.name) stream is cut short; get the whole file")
          }
          return 0
        }
      }
      let source = UnsafeRawBufferPointer(start: packed.base + position, count: end - position)
      let step = decoder.decode(source, into: UnsafeMutableRawBufferPointer(start: target, count: count))
      position += step.taken
      if let problem = step.problem { throw corrupt("the \(decoder.name) stream is damaged: \(problem)") }
      mayHoldText = step.given == count
      if step.given > 0 { return step.given }
      guard step.taken > 0 || source.isEmpty else {
        throw corrupt("the \(decoder.name) stream is damaged: it does not go on")
      }
    }
  }

  private func readPlain(into target: UnsafeMutablePointer<UInt8>, atMost count: Int) throws -> Int {
    if position < end {
      let held = min(count, end - position)
      target.update(from: packed.base + position, count: held)
      position += held
      return held
    }
    let got = try file.read(into: target, atMost: count)
    readBytes += got
    return got
  }

  /// Reads once more behind what is held; false at the end of the file.
  private func fill() throws -> Bool {
    let got = try file.read(into: packed.base + end, atMost: packed.count - end)
    end += got
    readBytes += got
    return got > 0
  }

  private func corrupt(_ message: String) -> ChanterError {
    ChanterError(.badInput, message, path: file.path, offset: readBytes - (end - position))
  }
}
