import Primitives

/// Where each of many records begins, in a temporary file. May be read from several threads.
final class OffsetFile: Sendable {
  private static let bytes = MemoryLayout<Int>.stride
  private let file: File

  init(temporaryIn directory: String) throws { file = try File(temporaryIn: directory) }

  func set(_ record: Int, to offset: Int) throws {
    try withUnsafeBytes(of: offset) { try file.write($0, at: record * Self.bytes) }
  }

  func offset(of record: Int) throws -> Int {
    var offset = 0
    try withUnsafeMutableBytes(of: &offset) { target in
      guard let base = target.baseAddress else { return }
      try file.read(at: record * Self.bytes, into: base, count: Self.bytes)
    }
    return offset
  }
}
