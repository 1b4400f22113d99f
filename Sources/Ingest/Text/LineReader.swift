import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Reads one input line by line through a fixed buffer, whatever it is packed in.
///
/// A line ends with a line feed, or with the end of the file; one carriage return before it is dropped. A line longer
/// than `maximumLineBytes` is an error, so memory is bounded whatever the file is.
final class LineReader {
  /// Lengths of lines and values have 16 bits in blocks, temporary files and vocabularies.
  static let maximumLineBytes = Int(UInt16.max)
  private static let bufferBytes = 1 << 20

  private let input: TextInput
  /// The name that errors carry.
  let path: String
  private let buffer = AlignedBuffer<UInt8>(count: bufferBytes)
  private var position = 0
  private var end = 0
  private var isAtEnd = false
  /// 1-based number of the line that `next` gave last.
  private(set) var line = 0

  /// - Parameter path: a file, or `-` for standard input.
  init(_ path: String) throws {
    input = try TextInput(path)
    self.path = path
  }

  /// The next line without its end, valid until the next call; nil after the last.
  func next() throws -> UnsafeRawBufferPointer? {
    let base = buffer.base
    var searched = position
    while true {
      if let found = memchr(base + searched, 10, end - searched) {
        let start = position
        let stop = base.distance(to: found.assumingMemoryBound(to: UInt8.self))
        position = stop + 1
        return try finish(start, stop)
      }
      if isAtEnd {
        guard position < end else { return nil }
        let start = position
        position = end
        return try finish(start, end)
      }
      guard end - position <= Self.maximumLineBytes + 1 else {
        line += 1
        throw tooLong()
      }
      searched = end - position
      if end == buffer.count {
        base.update(from: base + position, count: end - position)
        end -= position
        position = 0
      } else {
        searched += position
      }
      let got = try input.read(into: base + end, atMost: buffer.count - end)
      end += got
      isAtEnd = got == 0
    }
  }

  private func finish(_ start: Int, _ stop: Int) throws -> UnsafeRawBufferPointer {
    line += 1
    var stop = stop
    if stop > start, buffer.base[stop - 1] == 13 { stop -= 1 }
    guard stop - start <= Self.maximumLineBytes else { throw tooLong() }
    return UnsafeRawBufferPointer(start: buffer.base + start, count: stop - start)
  }

  static let tooLongMessage =
    "the line is longer than \(maximumLineBytes) bytes; is this a tab-separated log?"

  private func tooLong() -> ChanterError {
    ChanterError(.badInput, Self.tooLongMessage, path: path, line: line)
  }
}
