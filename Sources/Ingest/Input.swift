import Primitives

/// One raw input that can be read from its start as often as needed.
struct Input {
  /// The name that errors carry.
  let name: String
  private let spool: File?

  /// - Parameter spoolDirectory: where standard input (`-`), which can be read only once, is copied to a temporary file.
  init(_ name: String, spoolDirectory: String) throws {
    self.name = name
    guard name == "-" else {
      spool = nil
      return
    }
    let source = try File.standardInput()
    let copy = try File(temporaryIn: spoolDirectory)
    let buffer = AlignedBuffer<UInt8>(count: 1 << 20)
    while true {
      let got = try source.read(into: buffer.base, atMost: buffer.count)
      if got == 0 { break }
      try copy.write(UnsafeRawBufferPointer(start: buffer.base, count: got))
    }
    spool = copy
  }

  /// The input from its first byte. One at a time.
  func open() throws -> File {
    guard let spool else { return try File(reading: name) }
    try spool.rewind()
    return spool
  }

  /// Lines in the input, a last one without line feed included.
  func countLines(_ progress: (_ lines: Int) throws -> Void) throws -> Int {
    let file = try open()
    let buffer = AlignedBuffer<UInt8>(count: 1 << 20)
    var lines = 0
    var last: UInt8 = 10
    while true {
      let got = try file.read(into: buffer.base, atMost: buffer.count)
      if got == 0 { break }
      let bytes = buffer.base
      for position in 0..<got where bytes[position] == 10 { lines += 1 }
      last = bytes[got - 1]
      try progress(lines)
    }
    if last != 10 { lines += 1 }
    guard lines > 0 else {
      throw ChanterError(.badInput, "the file is empty; give a log with at least one line", path: name)
    }
    return lines
  }
}
