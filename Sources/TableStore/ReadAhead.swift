import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Asks the system to read ranges of the mapped file ahead of their use, neighbouring ranges in one call.
///
/// The map is opened without read-ahead, so an unannounced page costs a disk access at depth one when it is touched.
struct ReadAhead {
  /// Longer calls would wait for earlier parts of themselves.
  private static let longestRange = 1 << 20
  private let pageMask: UInt
  private var start: UInt = 0
  private var end: UInt = 0
  /// Ranges announced.
  private(set) var ranges = 0

  init() { pageMask = UInt(sysconf(Int32(_SC_PAGESIZE))) - 1 }

  /// Adds the pages of `count` bytes at `address`; announces what came before unless it goes on there.
  @inline(__always)
  mutating func add(_ address: UInt, count: Int) {
    let first = address & ~pageMask
    let last = (address + UInt(bitPattern: count) + pageMask) & ~pageMask
    if first == end, last - start <= UInt(Self.longestRange) {
      end = last
    } else {
      flush()
      start = first
      end = last
    }
  }

  /// Announces what was added and not announced yet.
  mutating func flush() {
    if end > start {
      ranges += 1
      // Only a hint: pages of this transaction that were never written to the file are refused, and that is fine.
      _ = madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_WILLNEED)
    }
    start = 0
    end = 0
  }
}
