import Primitives

/// A list of numbers in a temporary file, to be read forwards or backwards by the one thread that made it. Memory for two
/// blocks, however long it is.
final class NumberFile {
  private static let blockCount = 1 << 10
  private let file: File
  private let last = AlignedBuffer<UInt32>(count: blockCount)
  private let earlier = AlignedBuffer<UInt32>(count: blockCount)
  /// The block that `earlier` holds.
  private var loaded = -1
  private(set) var count = 0

  init(temporaryIn directory: String) throws { file = try File(temporaryIn: directory) }

  func append(_ number: UInt32) throws {
    last.base[count % Self.blockCount] = number
    count += 1
    if count % Self.blockCount == 0 {
      try file.write(last.rawBytes, at: (count - Self.blockCount) * MemoryLayout<UInt32>.stride)
    }
  }

  func number(_ index: Int) throws -> UInt32 {
    precondition(index >= 0 && index < count)
    let (block, place) = index.quotientAndRemainder(dividingBy: Self.blockCount)
    if block == count / Self.blockCount { return last.base[place] }
    if block != loaded {
      loaded = -1
      try file.read(at: block * earlier.rawBytes.count, into: earlier.base, count: earlier.rawBytes.count)
      loaded = block
    }
    return earlier.base[place]
  }
}

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
