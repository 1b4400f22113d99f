import CSupport
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Reads of a file past the system's cache, many at a time (io_uring; Axboe 2019, "Efficient IO with io_uring").
///
/// A page that passes through the cache is charged and mapped, and found again to be dropped where memory is short; and each
/// is asked of the disk alone.
///
/// Used by one thread at a time.
final class DirectReads {
  /// Reads on their way, and the most bytes of one: a read of neighbouring blocks costs little more than that of one.
  static let depth = 64
  static let bytesPerRead = 16 << 10
  /// Ended reads that are worth waking up for.
  private static let wakingReads = 16

  /// Bytes that an object holds, the kernel's rings included.
  static let memoryBytes = (depth + 1) * bytesPerRead

  private let path: String
  private let reads: OpaquePointer
  private let memory: AlignedBuffer<UInt8>
  // The place of the first read's bytes, on a page boundary.
  private let buffers: UnsafeMutablePointer<UInt8>
  private var requests: [Request]
  private var free: [Int]
  private var waiting = 0

  private struct Request {
    var offset = 0
    var count = 0
    var tag = 0
  }

  /// Nil where the system, its policy or the file system has no such reads.
  ///
  /// - Parameters:
  ///   - file: an open descriptor of the file, which may have been renamed since it was opened.
  ///   - path: the model directory, for errors.
  init?(_ file: Int32, path: String) {
    guard let reads = chanter_reads_open(file, UInt32(Self.depth)) else { return nil }
    self.reads = reads
    self.path = path
    memory = AlignedBuffer(count: Self.depth * Self.bytesPerRead + Geometry.pageBytes)
    let page = UInt(Geometry.pageBytes)
    buffers = memory.base + Int((page - UInt(bitPattern: memory.base) % page) % page)
    requests = Array(repeating: Request(), count: Self.depth)
    free = Array(0..<Self.depth)
  }

  deinit {
    drain()
    chanter_reads_close(reads)
  }

  /// Whether another read may be queued.
  var hasRoom: Bool { !free.isEmpty }

  /// Queues a read of whole pages, at most `bytesPerRead`. It starts with the next `finish`, which gives `tag` back.
  func queue(offset: Int, count: Int, tag: Int) throws {
    precondition(count <= Self.bytesPerRead)
    guard let number = free.popLast() else { preconditionFailure("a read was queued without room for it") }
    requests[number] = Request(offset: offset, count: count, tag: tag)
    try queue(number)
  }

  private func queue(_ number: Int) throws {
    let request = requests[number]
    try check(
      chanter_reads_queue(
        reads, buffer(number), UInt32(request.count), UInt64(request.offset), UInt64(number)))
    waiting += 1
  }

  private func buffer(_ number: Int) -> UnsafeMutablePointer<UInt8> { buffers + number * Self.bytesPerRead }

  /// Starts what is queued, waits until some reads have ended and calls `body` for each: with its tag, the bytes
  /// asked for, and the bytes themselves, which are fewer where the file ends.
  ///
  /// After an error, of a read or of `body`, nothing is on its way any more.
  func finish(_ body: (_ tag: Int, _ count: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void) throws {
    do {
      try check(chanter_reads_start(reads, UInt32(min(waiting, Self.wakingReads))))
      while let (number, result) = nextEnded() {
        if result == -EINTR || result == -EAGAIN {
          try queue(number)
          continue
        }
        try check(result)
        let request = requests[number]
        try body(
          request.tag, request.count, UnsafeRawBufferPointer(start: buffer(number), count: Int(result)))
        free.append(number)
      }
    } catch {
      drain()
      throw error
    }
  }

  private func nextEnded() -> (number: Int, result: Int32)? {
    var number: UInt64 = 0
    var result: Int32 = 0
    guard chanter_reads_next(reads, &number, &result) == 1 else { return nil }
    waiting -= 1
    return (Int(number), result)
  }

  private func check(_ code: Int32) throws {
    if code < 0 { throw failure(-code, attempt: "read data.mdb", path: path) }
  }

  /// Waits for all reads and forgets them: the kernel writes to their buffers until they have ended.
  private func drain() {
    while waiting > 0, chanter_reads_start(reads, UInt32(waiting)) == 0 { while nextEnded() != nil {} }
    free = Array(0..<Self.depth)
  }
}
