import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Reads inputs one after another on a thread of its own and cuts them into blocks at line ends.
///
/// Blocks come in the order of the inputs; a block never spans two. Give each back when it is done. A line that is too
/// long comes cut short, as a block's last, and what follows it up to the next line feed is dropped; so memory is
/// bounded whatever the inputs are.
final class TextReader {
  private let full: BoundedChannel<TextBlock>
  private let free: BoundedChannel<TextBlock>
  private var thread: NamedThread?

  /// - Parameters:
  ///   - names: what errors call the inputs.
  ///   - blocks: how many there are; their memory bounds how far reading runs ahead.
  ///   - windowBytes: the most memory that a packed input may ask for.
  ///   - start: the input to begin with, and where in its text.
  init(
    _ names: [String], layout: InputLayout, blocks: Int, windowBytes: Int = ZstdDecoder.largestWindow,
    from start: (input: Int, offset: Int) = (0, 0)
  ) throws {
    let full = BoundedChannel<TextBlock>(capacity: blocks)
    let free = BoundedChannel<TextBlock>(capacity: blocks)
    self.full = full
    self.free = free
    for _ in 0..<blocks { try free.send(TextBlock(layout)) }
    thread = NamedThread("text-reader") {
      do {
        var read = 0  // bytes of the inputs before
        for (number, name) in names.enumerated() {
          if number < start.input {
            read += File.regularSize(name) ?? 0
            continue
          }
          let input = try TextInput(name, windowBytes: windowBytes)
          if number == start.input, start.offset > 0 { try input.skip(start.offset) }
          let isWhole = number != start.input || start.offset == 0
          guard try Self.cut(input, number, read, isWhole: isWhole, free: free, full: full) else { return }
          read += input.readBytes
        }
        full.close()
      } catch {
        full.close(throwing: error)
      }
    }
  }

  deinit { stop() }

  /// The next block, or nil after the last.
  func next() throws -> TextBlock? { try full.receive() }

  func giveBack(_ block: TextBlock) throws { try free.send(block) }

  /// Ends the thread, also in the middle of an input.
  func stop() {
    full.close()
    free.close()
    _ = thread?.join()
    thread = nil
  }

  /// Sends one input as blocks; false if nobody wants more.
  private static func cut(
    _ input: TextInput, _ number: Int, _ readBefore: Int, isWhole: Bool, free: BoundedChannel<TextBlock>,
    full: BoundedChannel<TextBlock>
  ) throws -> Bool {
    let carry = AlignedBuffer<UInt8>(count: TextBlock.bytes)
    var carried = 0
    var isDropping = false
    var isFirst = isWhole
    while true {
      guard let block = try free.receive() else { return false }
      let text = block.text.base
      text.update(from: carry.base, count: carried)
      block.count = carried
      block.isLast = false
      block.isFirst = isFirst
      isFirst = false
      while block.count < TextBlock.bytes {
        let got = try input.read(into: text + block.count, atMost: TextBlock.bytes - block.count)
        block.isLast = got == 0
        if block.isLast { break }
        block.count += got
        if isDropping { isDropping = !dropLine(block) }
      }
      block.input = number
      block.readBytes = readBefore + input.readBytes
      carried = 0
      if !block.isLast {
        var end = block.count
        while end > 0, text[end - 1] != 10 { end -= 1 }
        if end > 0 {
          carried = block.count - end
          carry.base.update(from: text + end, count: carried)
          block.count = end
        } else {
          isDropping = true
          block.count = LineReader.maximumLineBytes + 2
        }
      }
      block.endOffset = isDropping ? nil : input.textBytes - carried
      let isLast = block.isLast
      guard try full.send(block) else { return false }
      if isLast { return true }
    }
  }

  /// Drops the text up to the first line feed; false if there is none.
  private static func dropLine(_ block: TextBlock) -> Bool {
    let text = block.text.base
    guard let newline = memchr(text, 10, block.count) else {
      block.count = 0
      return false
    }
    let end = text.distance(to: newline.assumingMemoryBound(to: UInt8.self)) + 1
    text.update(from: text + end, count: block.count - end)
    block.count -= end
    return true
  }
}
