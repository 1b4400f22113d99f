import Primitives

/// Streams of 32-bit words in one temporary file, for one thread: each is appended to, and then read and changed where it lies.
///
/// A stream is a chain of blocks of 64 KiB, which follow those of the others in the file as they come. The first two words of a
/// block are the numbers of the blocks before and after it in its stream. Memory: `WordStream` by stream, and nothing by word; one
/// descriptor, however many streams there are.
final class WordStreamFile {
  static let blockBytes = 1 << 16
  private static let wordBytes = MemoryLayout<UInt32>.stride
  private static let linkWords = 2
  /// Words of a stream that a block holds.
  private static let blockWords = blockBytes / wordBytes - linkWords

  private let file: File
  private var blockCount = 0

  init(temporaryIn directory: String) throws { file = try File(temporaryIn: directory) }

  var path: String { file.path }

  func append(_ words: UnsafeBufferPointer<UInt32>, to stream: inout WordStream) throws {
    var done = 0
    while done < words.count {
      let place = stream.count % Self.blockWords
      if place == 0 { try addBlock(to: &stream) }
      let count = min(words.count - done, Self.blockWords - place)
      try file.write(
        UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: words[done..<done + count])),
        at: Self.offset(of: stream.last, place))
      done += count
      stream.count += count
    }
  }

  private func addBlock(to stream: inout WordStream) throws {
    guard let block = UInt32(exactly: blockCount) else {
      throw ChanterError(
        .unsupported, "a temporary file has more than 2^32 blocks; make the dataset in parts (--append)",
        path: file.path)
    }
    blockCount += 1
    if stream.count == 0 {
      stream.first = block
    } else {
      try withUnsafeBytes(of: block) {
        try file.write($0, at: Self.blockBytes * Int(stream.last) + Self.wordBytes)
      }
      try withUnsafeBytes(of: stream.last) { try file.write($0, at: Self.blockBytes * Int(block)) }
    }
    stream.last = block
  }

  private static func offset(of block: UInt32, _ place: Int) -> Int {
    blockBytes * Int(block) + wordBytes * (linkWords + place)
  }

  /// Takes the next `count` words, which must be there.
  func read(_ count: Int, at cursor: inout WordCursor, into target: UnsafeMutablePointer<UInt32>) throws {
    var done = 0
    while done < count {
      let place = cursor.word % Self.blockWords
      if place == 0, cursor.word > 0 {
        var next: UInt32 = 0
        try withUnsafeMutableBytes(of: &next) { link in
          guard let base = link.baseAddress else { return }
          try file.read(
            at: Self.blockBytes * Int(cursor.block) + Self.wordBytes, into: base, count: link.count)
        }
        cursor.block = next
      }
      let part = min(count - done, Self.blockWords - place)
      try file.read(
        at: Self.offset(of: cursor.block, place), into: target + done, count: Self.wordBytes * part)
      done += part
      cursor.word += part
    }
  }

  /// Calls `body` with all words of a stream, block by block; what it changes in them is written.
  /// - Parameter backwards: begins with the last block; the words of a block ascend all the same.
  func update(
    _ stream: WordStream, backwards: Bool, _ body: (UnsafeMutableBufferPointer<UInt32>) throws -> Void
  ) throws {
    let buffer = AlignedBuffer<UInt32>(count: Self.blockBytes / Self.wordBytes)
    var block = backwards ? stream.last : stream.first
    let blocks = (stream.count + Self.blockWords - 1) / Self.blockWords
    for number in 0..<blocks {
      let isLast = backwards ? number == 0 : number == blocks - 1
      let count = isLast ? stream.count - (blocks - 1) * Self.blockWords : Self.blockWords
      let bytes = Self.wordBytes * (Self.linkWords + count)
      let offset = Self.blockBytes * Int(block)
      try file.read(at: offset, into: buffer.base, count: bytes)
      try body(UnsafeMutableBufferPointer(start: buffer.base + Self.linkWords, count: count))
      try file.write(UnsafeRawBufferPointer(start: buffer.base, count: bytes), at: offset)
      block = buffer.base[backwards ? 0 : 1]
    }
  }
}

/// A stream of a `WordStreamFile`.
struct WordStream {
  fileprivate(set) var count = 0
  fileprivate var first: UInt32 = 0
  fileprivate var last: UInt32 = 0

  /// Where its first word lies.
  var start: WordCursor { WordCursor(word: 0, block: first) }
}

/// A place in a stream.
struct WordCursor {
  /// The words before it.
  fileprivate(set) var word: Int
  /// The block of the last of them.
  fileprivate var block: UInt32
}
