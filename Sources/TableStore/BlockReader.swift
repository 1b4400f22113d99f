import CLMDB
import CSupport
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Reads rows from the blocks of one read transaction: the block if it is stored, else the initial value.
///
/// Two passes over sorted keys: the first finds where each block lies, which touches no block; the second checks each
/// block once and copies rows. Between them the pages are announced to the system, unless it holds them, so that the disk
/// reads ahead at full depth; announced blocks are read from the file, others through the map.
final class BlockReader {
  private let store: ModelStore
  // One cursor a table, on the transaction this was made with.
  private let cursors: AlignedBuffer<OpaquePointer?>
  // Address of each distinct block of the request, 0 where none is stored.
  private let addresses: AlignedBuffer<UInt>
  // One block, and the file that it is read from where it is not likely to be mapped.
  private let block: AlignedBuffer<UInt8>
  private let descriptor: Int32
  private var trial = ReadAheadTrial()
  private var leaves: LeafReadAhead
  private var leafTrial = ReadAheadTrial()

  /// Distinct blocks that one `fetch` may need, so at least its number of rows.
  var capacity: Int { addresses.count }

  init(_ store: ModelStore, _ transaction: borrowing ReadTransaction, maximumRows: Int) throws {
    self.store = store
    let tables = store.databases.tables
    cursors = AlignedBuffer(count: tables.count)
    addresses = AlignedBuffer(count: maximumRows)
    block = AlignedBuffer(count: store.geometry.blockBytes)
    var descriptor: Int32 = -1
    try check(mdb_env_get_fd(store.environment.handle, &descriptor), "open data.mdb", path: store.path)
    // What was announced and dropped again is then read alone, and not with megabytes around it.
    _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
    self.descriptor = descriptor
    leaves = LeafReadAhead(store)
    for (index, table) in tables.enumerated() {
      var cursor: OpaquePointer?
      try check(mdb_cursor_open(transaction.handle, table, &cursor), "open a cursor", path: store.path)
      cursors[index] = cursor
    }
    try leaves.renew(store, transaction.handle)
  }

  deinit {
    for cursor in cursors.prefix() { if let cursor { mdb_cursor_close(cursor) } }
  }

  /// Takes up the state that `transaction` was renewed to.
  func renew(_ transaction: borrowing ReadTransaction) throws {
    for cursor in cursors.prefix() {
      try check(mdb_cursor_renew(transaction.handle, cursor), "renew a cursor", path: store.path)
    }
    try leaves.renew(store, transaction.handle)
  }

  /// Copies the row of `keys[i]` to `rows + slots[i] * rowFloats` for i in 0 ..< count; `keys` ascend.
  /// - Returns: distinct blocks looked up.
  func fetch(
    keys: UnsafePointer<RowKey>, count: Int, slots: UnsafePointer<UInt32>, rows: UnsafeMutablePointer<Float>
  ) throws -> Int {
    guard count > 0 else { return 0 }
    guard count <= capacity, keys[count - 1] >> 32 < UInt64(store.layout.tables.count) else {
      throw ChanterError(
        .broken, "a fetch of \(count) rows up to key \(keys[count - 1]) exceeds what was promised",
        path: store.path)
    }
    var request = Request(keys: keys, slots: slots, rows: rows, count: count)
    if !trial.announces { trial.begin(faults: chanter_major_faults()) }
    while request.copiedRows < count, !trial.announces {
      try locate(&request, blocks: trial.group)
      try copy(&request, blocks: trial.group, areMapped: true)
      trial.didReadGroup(faults: chanter_major_faults())
    }
    if request.copiedRows == count { return request.blocks }
    let first = request.blocks
    if leafTrial.announces { announceLeaves(request) }
    var ranges = Self.announcedRanges
    while request.copiedRows < count {
      try announce(&request, ranges: ranges)
      ranges = Self.copiedBlocks
      try copy(&request, blocks: Self.copiedBlocks, areMapped: false)
    }
    trial.didAnnounce(request.blocks - first)
    if leafTrial.announces { leafTrial.didAnnounce(request.blocks - first) }
    return request.blocks
  }

  /// Ranges announced before the first of their blocks is copied, and blocks copied before as many ranges more are
  /// announced. The system takes some hundred reads at a time and then makes the thread wait, so that copying waits
  /// for no reads and reads for no copying.
  private static let announcedRanges = 1024
  private static let copiedBlocks = 128
  /// Blocks announced and not copied yet, whatever their ranges: more might be dropped again before they are copied.
  private static let waitingBlocks = 4096

  /// A request and how far it was carried out.
  private struct Request {
    let keys: UnsafePointer<RowKey>
    let slots: UnsafePointer<UInt32>
    let rows: UnsafeMutablePointer<Float>
    let count: Int
    /// Distinct blocks located, and the rows in them.
    var blocks = 0
    var locatedRows = 0
    /// Blocks of which every row was copied, and those rows.
    var copiedBlocks = 0
    var copiedRows = 0
  }

  /// Finds the next `limit` blocks.
  private func locate(_ request: inout Request, blocks limit: Int) throws {
    for _ in 0..<limit where request.locatedRows < request.count { try locateNext(&request) }
  }

  /// Finds the next blocks, as many as lie in `limit` ranges of neighbours, and announces them.
  private func announce(_ request: inout Request, ranges limit: Int) throws {
    var readAhead = ReadAhead()
    let last = request.copiedBlocks + Self.waitingBlocks
    while request.blocks < last, request.locatedRows < request.count, readAhead.ranges < limit {
      let end = leafTrial.announces ? last : min(last, request.blocks + leafTrial.group)
      if !leafTrial.announces { leafTrial.begin(faults: chanter_major_faults()) }
      while request.blocks < end, request.locatedRows < request.count, readAhead.ranges < limit {
        let address = try locateNext(&request)
        if address != 0 { readAhead.add(address, count: store.geometry.blockBytes) }
      }
      if !leafTrial.announces {
        leafTrial.didReadGroup(faults: chanter_major_faults())
        if leafTrial.announces { announceLeaves(request) }
      }
    }
    readAhead.flush()
  }

  /// Announces the index pages in which the blocks will be found that are not located yet.
  private func announceLeaves(_ request: Request) {
    leaves.announce(
      request.keys + request.locatedRows, count: request.count - request.locatedRows, store.geometry)
  }

  /// Finds the next block and passes over its rows.
  /// - Returns: its address, 0 if it is not stored.
  @inline(__always) @discardableResult
  private func locateNext(_ request: inout Request) throws -> UInt {
    let keys = request.keys
    let geometry = store.geometry
    let block = geometry.block(of: keys[request.locatedRows])
    var number = UInt64(block.row)
    var address: UInt = 0
    var length = geometry.blockBytes
    let code = withUnsafeMutableBytes(of: &number) { bytes in
      var key = MDB_val(mv_size: 8, mv_data: bytes.baseAddress)
      var data = MDB_val()
      let code = mdb_cursor_get(cursors.base[block.table], &key, &data, MDB_SET)
      if code == 0 {
        address = UInt(bitPattern: data.mv_data)
        length = data.mv_size
      }
      return code
    }
    if code == 0 {
      if length != geometry.blockBytes { try verify(block, UnsafeRawPointer(bitPattern: address), length) }
    } else if code != MDB_NOTFOUND {
      throw failure(code, attempt: "look up block \(block.row)", path: store.path)
    }
    addresses.base[request.blocks] = address
    request.blocks += 1
    repeat {
      request.locatedRows += 1
    } while request.locatedRows < request.count && geometry.block(of: keys[request.locatedRows]) == block
    return address
  }

  /// Checks the next `limit` of the located blocks and copies their rows.
  ///
  /// - Parameter areMapped: the pages are likely to be in memory and mapped, so that the CPU may load one while the one
  ///   before it is checked.
  private func copy(_ request: inout Request, blocks limit: Int, areMapped: Bool) throws {
    let keys = request.keys
    let slots = request.slots
    let addresses = addresses.base
    let geometry = store.geometry
    let layout = store.layout
    let rowBytes = geometry.rowBytes
    let rowFloats = geometry.rowFloats
    let end = min(request.blocks, request.copiedBlocks + limit)
    var index = request.copiedRows
    for number in request.copiedBlocks..<end {
      let block = geometry.block(of: keys[index])
      var base = UnsafeRawPointer(bitPattern: addresses[number])
      if areMapped, number + 1 < end { prefetch(addresses[number + 1], geometry.blockBytes) }
      if let mapped = base {
        let read = areMapped ? mapped : try read(block, addresses[number])
        try verify(block, read, geometry.blockBytes)
        base = read
      }
      repeat {
        let key = keys[index]
        let destination = request.rows + Int(slots[index]) * rowFloats
        if let base {
          UnsafeMutableRawPointer(destination).copyMemory(
            from: base + geometry.offset(of: key), byteCount: rowBytes)
        } else {
          layout.fillInitial(table: key.table, row: key.row, into: destination)
        }
        index += 1
      } while index < request.count && geometry.block(of: keys[index]) == block
    }
    request.copiedRows = index
    request.copiedBlocks = end
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
  private func read(_ number: RowKey, _ address: UInt) throws -> UnsafeRawPointer {
    while true {
      let got = pread(descriptor, block.base, block.count, off_t(address - store.mapBase))
      if got == block.count { return UnsafeRawPointer(block.base) }
      if got < 0, errno == EINTR { continue }
      let name = "block \(number.row) of table \(store.layout.tables[number.table].name)"
      if got < 0 { throw failure(errno, attempt: "read \(name)", path: store.path) }
      throw ChanterError(
        .corrupt, "data.mdb ends inside \(name); " + restoreAdvice, path: store.path,
        offset: Int(address - store.mapBase))
    }
  }

  private func verify(_ block: RowKey, _ base: UnsafeRawPointer?, _ length: Int) throws {
    try Block.verify(
      UnsafeRawBufferPointer(start: base, count: length), block, store.geometry, store.layout,
      path: store.path)
  }
}
