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
/// Keys are sorted. Blocks are located first, which touches none of them; then each is checked once and its rows are
/// copied. In between many are on their way from the disk at once. There are two ways for that: where the file is far larger than
/// the memory, past the system's cache (`BlockReader+Direct`), else through it (`BlockReader+Cached`).
final class BlockReader {
  let store: ModelStore
  // One cursor a table, on the transaction this was made with.
  private let cursors: AlignedBuffer<OpaquePointer?>
  // Of each distinct block of the request: its address, 0 where none is stored, and its first row among the keys.
  let addresses: AlignedBuffer<UInt>
  let firstRows: AlignedBuffer<UInt32>
  // One block, and the file that it is read from where it is not likely to be mapped.
  let block: AlignedBuffer<UInt8>
  let descriptor: Int32
  var trial = ReadAheadTrial()
  private var leaves: LeafReadAhead
  private var leafTrial = ReadAheadTrial()
  private let directAbove: Int
  private var direct: DirectReads?
  private var directIsMissing: Bool

  /// Distinct blocks that one `fetch` may need, so at least its number of rows.
  var capacity: Int { addresses.count }

  /// - Parameter directAbove: a file of more bytes is read past the system's cache, where the system can.
  init(
    _ store: ModelStore, _ transaction: borrowing ReadTransaction, maximumRows: Int, directAbove: Int
  ) throws {
    self.store = store
    self.directAbove = directAbove
    // In larger pages a block may lie anywhere.
    directIsMissing = store.environment.pageBytes != UInt(Geometry.pageBytes)
    let tables = store.databases.tables
    cursors = AlignedBuffer(count: tables.count)
    addresses = AlignedBuffer(count: maximumRows)
    firstRows = AlignedBuffer(count: maximumRows)
    block = AlignedBuffer(count: store.geometry.blockBytes)
    descriptor = store.environment.descriptor
    // What was announced and dropped again is then read alone, and not with megabytes around it.
    _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
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
    if let reads = directReads() {
      do {
        try fetch(&request, past: reads)
        return request.blocks
      } catch is DirectReads.Refused {
        directIsMissing = true
        direct = nil
        request = Request(keys: keys, slots: slots, rows: rows, count: count)
      } catch {
        // Reads that are on their way belong to this request.
        direct = nil
        throw error
      }
    }
    try fetchThroughCache(&request)
    return request.blocks
  }

  private func directReads() -> DirectReads? {
    if directIsMissing || store.environment.fileBytes <= directAbove { return nil }
    if direct == nil {
      direct = DirectReads(descriptor)
      directIsMissing = direct == nil
    }
    return direct
  }

  /// A request and how far it was carried out.
  struct Request {
    let keys: UnsafePointer<RowKey>
    let slots: UnsafePointer<UInt32>
    let rows: UnsafeMutablePointer<Float>
    let count: Int
    /// Distinct blocks located, and the rows in them.
    var blocks = 0
    var locatedRows = 0
  }

  /// Finds blocks until there are `last` of them, or `body`, which is given the address of each, says that it has enough.
  func locate(_ request: inout Request, through last: Int, _ body: (UInt) -> Bool = { _ in true }) throws {
    var goesOn = true
    while goesOn, request.blocks < last, request.locatedRows < request.count {
      let end = leafTrial.announces ? last : min(last, request.blocks + leafTrial.group)
      if !leafTrial.announces { leafTrial.begin(faults: chanter_major_faults()) }
      while goesOn, request.blocks < end, request.locatedRows < request.count {
        goesOn = body(try locateNext(&request))
      }
      if !leafTrial.announces {
        leafTrial.didReadGroup(faults: chanter_major_faults())
        if leafTrial.announces { announceLeaves(request) }
      }
    }
  }

  /// Before the first block of a request is located.
  func beginLocating(_ request: Request) { if leafTrial.announces { announceLeaves(request) } }

  /// All blocks of a request were located, so many since `beginLocating`.
  func didLocate(_ blocks: Int) { if leafTrial.announces { leafTrial.didAnnounce(blocks) } }

  /// Announces the index pages in which the blocks will be found that are not located yet.
  private func announceLeaves(_ request: Request) {
    leaves.announce(
      request.keys + request.locatedRows, count: request.count - request.locatedRows, store.geometry)
  }

  /// Finds the next block and passes over its rows.
  /// - Returns: its address, 0 if it is not stored.
  @inline(__always) @discardableResult
  func locateNext(_ request: inout Request) throws -> UInt {
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
    firstRows.base[request.blocks] = UInt32(truncatingIfNeeded: request.locatedRows)
    request.blocks += 1
    repeat {
      request.locatedRows += 1
    } while request.locatedRows < request.count && geometry.block(of: keys[request.locatedRows]) == block
    return address
  }

  /// Checks the block with this number among those located, unless it is not stored, and copies its rows.
  /// - Parameter base: where its bytes are, nil if it is not stored.
  func copyRows(_ request: Request, block number: Int, from base: UnsafeRawPointer?) throws {
    let keys = request.keys
    let geometry = store.geometry
    var index = Int(firstRows.base[number])
    let block = geometry.block(of: keys[index])
    if let base { try verify(block, base, geometry.blockBytes) }
    repeat {
      let key = keys[index]
      let destination = request.rows + Int(request.slots[index]) * geometry.rowFloats
      if let base {
        UnsafeMutableRawPointer(destination).copyMemory(
          from: base + geometry.offset(of: key), byteCount: geometry.rowBytes)
      } else {
        store.layout.fillInitial(table: key.table, row: key.row, into: destination)
      }
      index += 1
    } while index < request.count && geometry.block(of: keys[index]) == block
  }

  /// The error of a block of which the file holds only a part.
  func truncated(_ request: Request, block number: Int) -> ChanterError {
    ChanterError(
      .corrupt, "data.mdb ends inside \(name(request, block: number)); " + restoreAdvice, path: store.path,
      offset: Int(addresses.base[number] - store.mapBase))
  }

  func name(_ request: Request, block number: Int) -> String {
    let block = store.geometry.block(of: request.keys[Int(firstRows.base[number])])
    return "block \(block.row) of table \(store.layout.tables[block.table].name)"
  }

  private func verify(_ block: RowKey, _ base: UnsafeRawPointer?, _ length: Int) throws {
    try Block.verify(
      UnsafeRawBufferPointer(start: base, count: length), block, store.geometry, store.layout,
      path: store.path)
  }
}
