import Foundation
import Primitives

/// Buffered text to standard output, or to a new file that appears under its name only when it is whole.
final class LineWriter {
  private let path: String?
  private let partialPath: String
  private let file: FileHandle
  private var buffer = Data()
  private var isFinished = false
  private static let bufferBytes = 1 << 16

  init(path: String?) throws {
    self.path = path
    guard let path else {
      partialPath = ""
      file = .standardOutput
      return
    }
    if FileManager.default.fileExists(atPath: path) {
      throw ChanterError(.exists, "this file is there already; remove it or choose another name", path: path)
    }
    partialPath = path + ".partial"
    guard FileManager.default.createFile(atPath: partialPath, contents: nil),
      let file = FileHandle(forWritingAtPath: partialPath)
    else { throw ChanterError(.io, "cannot create this file", path: partialPath) }
    self.file = file
  }

  deinit {
    if path != nil, !isFinished { try? FileManager.default.removeItem(atPath: partialPath) }
  }

  func write(_ text: String) throws {
    buffer.append(contentsOf: text.utf8)
    if buffer.count >= Self.bufferBytes { try flush() }
  }

  private func flush() throws {
    do {
      try file.write(contentsOf: buffer)
    } catch {
      throw ChanterError(.io, "cannot write: \(error.localizedDescription)", path: path ?? "standard output")
    }
    buffer.removeAll(keepingCapacity: true)
  }

  func finish() throws {
    try flush()
    isFinished = true
    guard let path else { return }
    do {
      try file.synchronize()
      try file.close()
      try FileManager.default.moveItem(atPath: partialPath, toPath: path)
    } catch {
      throw ChanterError(.io, "cannot write: \(error.localizedDescription)", path: path)
    }
  }
}
