import CSupport
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Blocks through the system's cache: from the map while it holds them, else announced to the system, so that the disk reads
/// ahead at full depth, and then read from the file.
extension BlockReader {
  /// Ranges announced before the first of their blocks is copied, and blocks copied before as many ranges more are
  /// announced. The system takes some hundred reads at a time and then makes the thread wait, so that copying waits
  /// for no reads and reads for no copying.
  private static let announcedRanges = 1024
  private static let copiedBlocks = 128
  /// Blocks announced and not copied yet, whatever their ranges: more might be dropped again before they are copied.
  private static let waitingBlocks = 4096

  func fetchThroughCache(_ request: inout Request) throws {
    var copied = 0
    if !trial.announces { trial.begin(faults: chanter_major_faults()) }
    while request.locatedRows < request.count, !trial.announces {
      for _ in 0..<trial.group where request.locatedRows < request.count { try locateNext(&request) }
      try copy(request, through: request.blocks, &copied, areMapped: true)
      trial.didReadGroup(faults: chanter_major_faults())
    }
    let first = request.blocks
    beginLocating(request)
    var ranges = Self.announcedRanges
    while request.locatedRows < request.count || copied < request.blocks {
      try announce(&request, copied, ranges: ranges)
      ranges = Self.copiedBlocks
      try copy(request, through: min(request.blocks, copied + Self.copiedBlocks), &copied, areMapped: false)
    }
    trial.didAnnounce(request.blocks - first)
    didLocate(request.blocks - first)
  }

  /// Finds the next blocks, as many as lie in `limit` ranges of neighbours, and announces them.
  private func announce(_ request: inout Request, _ copied: Int, ranges limit: Int) throws {
    var readAhead = ReadAhead()
    try locate(&request, through: copied + Self.waitingBlocks) { address in
      if address != 0 { readAhead.add(address, count: store.geometry.blockBytes) }
      return readAhead.ranges < limit
    }
    readAhead.flush()
  }

  /// Copies the rows of the located blocks below `end`.
  ///
  /// - Parameters:
  ///   - copied: the blocks copied before, and now.
  ///   - areMapped: the pages are likely to be in memory and mapped, so that the CPU may load one while the one
  ///     before it is checked.
  private func copy(_ request: Request, through end: Int, _ copied: inout Int, areMapped: Bool) throws {
    let addresses = addresses.base
    for number in copied..<end {
      if areMapped, number + 1 < end { prefetch(addresses[number + 1], store.geometry.blockBytes) }
      var base = UnsafeRawPointer(bitPattern: addresses[number])
      if base != nil, !areMapped { base = try read(request, block: number) }
      try copyRows(request, block: number, from: base)
    }
    copied = end
  }

  @inline(__always)
  private func prefetch(_ address: UInt, _ count: Int) {
    guard var line = UnsafeRawPointer(bitPattern: address) else { return }
    let end = line + count
    while line < end {
      chanter_prefetch(line)
      line += 64
    }
  }

  /// The block as the file has it. To map a page that the system will drop soon costs more than a copy of it: it has to be
  /// unmapped again, and each core be told so.
  func read(_ request: Request, block number: Int) throws -> UnsafeRawPointer {
    while true {
      let got = pread(descriptor, block.base, block.count, off_t(addresses.base[number] - store.mapBase))
      if got == block.count { return UnsafeRawPointer(block.base) }
      if got >= 0 { throw truncated(request, block: number) }
      if errno == EINTR { continue }
      throw failure(errno, attempt: "read \(name(request, block: number))", path: store.path)
    }
  }
}
