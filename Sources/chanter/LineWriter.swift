import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Buffered text to standard output, or to a new file that has its name only when it is whole.
final class LineWriter {
  private let output: NewFile?
  private var buffer: [UInt8] = []
  private static let bufferBytes = 1 << 16

  init(path: String?) throws {
    output = try path.map { try NewFile($0) }
    buffer.reserveCapacity(2 * Self.bufferBytes)
  }

  func write(_ text: String) throws {
    buffer.append(contentsOf: text.utf8)
    if buffer.count >= Self.bufferBytes { try flush() }
  }

  private func flush() throws {
    try buffer.withUnsafeBytes { bytes in
      if let output { return try output.file.write(bytes) }
      try writeFully(bytes, to: STDOUT_FILENO)
    }
    buffer.removeAll(keepingCapacity: true)
  }

  func finish() throws {
    try flush()
    try output?.publish()
  }
}
