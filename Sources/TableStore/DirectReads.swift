import CSupport

/// Reads of a file past the system's cache, many at a time (io_uring; Axboe 2019, "Efficient IO with io_uring").
///
/// A page that passes through the cache is charged and mapped, and found again to be dropped where memory is short; and each
/// is asked of the disk alone.
///
/// Used by one thread at a time. After an error there may be reads on their way still, so the object is of no more use; it waits
/// for them before it goes.
final class DirectReads {
  /// Reads on their way, and the most bytes of one: a read of neighbouring blocks costs little more than that of one.
  static let depth = 64
  static let bytesPerRead = 16 << 10
  /// Ended reads that are worth waking up for.
  private static let wakingReads = 16

  /// Bytes that an object holds, the kernel's rings included.
  static let memoryBytes = (depth + 1) * bytesPerRead

  private let reads: OpaquePointer
  private var requests: [Request]
  private var free: [UInt32]

  private struct Request {
    var count = 0
    var tag = 0
  }

  /// The system does not take reads any more.
  struct Refused: Error {}

  /// Nil where the system, its policy or the file system has no such reads.
  ///
  /// - Parameter file: an open descriptor of the file, which may have been renamed since it was opened.
  init?(_ file: Int32) {
    guard let reads = chanter_reads_open(file, UInt32(Self.depth), UInt32(Self.bytesPerRead)) else {
      return nil
    }
    self.reads = reads
    requests = Array(repeating: Request(), count: Self.depth)
    free = Array(0..<UInt32(Self.depth))
  }

  deinit { chanter_reads_close(reads) }

  /// Whether another read may be queued.
  var hasRoom: Bool { !free.isEmpty }

  /// Queues a read of whole pages, at most `bytesPerRead`. It starts with the next `finish`, which gives `tag` back.
  func queue(offset: Int, count: Int, tag: Int) throws {
    precondition(count <= Self.bytesPerRead)
    guard let number = free.popLast() else { preconditionFailure("a read was queued without room for it") }
    requests[Int(number)] = Request(count: count, tag: tag)
    try check(chanter_reads_queue(reads, number, UInt32(count), UInt64(offset)))
  }

  /// Starts what is queued, waits until some reads have ended and calls `body` for each: with its tag, the bytes
  /// asked for, and the bytes themselves. These are fewer where the file ends, and may be fewer, or none, where this way to read failed.
  func finish(_ body: (_ tag: Int, _ count: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void) throws {
    try check(chanter_reads_start(reads, UInt32(min(Self.depth - free.count, Self.wakingReads))))
    var number: UInt32 = 0
    var result: Int32 = 0
    while chanter_reads_next(reads, &number, &result) == 1 {
      let request = requests[Int(number)]
      try body(
        request.tag, request.count,
        UnsafeRawBufferPointer(start: chanter_reads_bytes(reads, number), count: max(0, Int(result))))
      free.append(number)
    }
  }

  private func check(_ code: Int32) throws { if code < 0 { throw Refused() } }
}
