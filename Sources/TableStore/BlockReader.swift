import CLMDB
import Primitives

/// Reads rows from the blocks of one read transaction: the block if it is stored, else the initial value.
///
/// Two passes over sorted keys: the first finds where each block lies, which touches no block, and announces the
/// pages to the system; the second checks each block once and copies rows while the disk reads ahead at full depth.
final class BlockReader {
  private let store: ModelStore
  // One cursor a table, on the transaction this was made with.
  private let cursors: AlignedBuffer<OpaquePointer?>
  // Address of each distinct block of the request, 0 where none is stored.
  private let addresses: AlignedBuffer<UInt>

  /// Distinct blocks that one `fetch` may need, so at least its number of rows.
  var capacity: Int { addresses.count }
  /// Bytes this holds for `rows` rows a request.
  static func memoryBytes(rows: Int) -> Int { rows * MemoryLayout<UInt>.stride }

  init(_ store: ModelStore, _ transaction: borrowing ReadTransaction, maximumRows: Int) throws {
    self.store = store
    let tables = store.databases.tables
    cursors = AlignedBuffer(count: tables.count)
    addresses = AlignedBuffer(count: maximumRows)
    for (index, table) in tables.enumerated() {
      var cursor: OpaquePointer?
      try check(mdb_cursor_open(transaction.handle, table, &cursor), "open a cursor", path: store.path)
      cursors[index] = cursor
    }
  }

  deinit {
    for cursor in cursors.prefix() { if let cursor { mdb_cursor_close(cursor) } }
  }

  /// Takes up the state that `transaction` was renewed to.
  func renew(_ transaction: borrowing ReadTransaction) throws {
    for cursor in cursors.prefix() {
      try check(mdb_cursor_renew(transaction.handle, cursor), "renew a cursor", path: store.path)
    }
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
    let blockCount = try locate(keys, count)
    try copy(keys, count, slots, rows)
    return blockCount
  }

  private func locate(_ keys: UnsafePointer<RowKey>, _ count: Int) throws -> Int {
    let addresses = addresses.base
    let cursors = cursors.base
    let geometry = store.geometry
    let blockBytes = geometry.blockBytes
    var readAhead = ReadAhead()
    var blockCount = 0
    var previous = RowKey.max
    for index in 0..<count {
      let block = geometry.block(of: keys[index])
      if block == previous { continue }
      previous = block
      var number = UInt64(block.row)
      var address: UInt = 0
      var length = blockBytes
      let code = withUnsafeMutableBytes(of: &number) { bytes in
        var key = MDB_val(mv_size: 8, mv_data: bytes.baseAddress)
        var data = MDB_val()
        let code = mdb_cursor_get(cursors[block.table], &key, &data, MDB_SET)
        if code == 0 {
          address = UInt(bitPattern: data.mv_data)
          length = data.mv_size
        }
        return code
      }
      if code == 0 {
        if length != blockBytes { try verify(block, UnsafeRawPointer(bitPattern: address), length) }
        readAhead.add(address, count: length)
      } else if code != MDB_NOTFOUND {
        throw failure(code, attempt: "look up block \(block.row)", path: store.path)
      }
      addresses[blockCount] = address
      blockCount += 1
    }
    readAhead.flush()
    return blockCount
  }

  private func copy(
    _ keys: UnsafePointer<RowKey>, _ count: Int, _ slots: UnsafePointer<UInt32>,
    _ rows: UnsafeMutablePointer<Float>
  ) throws {
    let addresses = addresses.base
    let geometry = store.geometry
    let layout = store.layout
    let rowBytes = geometry.rowBytes
    let rowFloats = geometry.rowFloats
    var next = 0
    var previous = RowKey.max
    var base: UnsafeRawPointer?
    for index in 0..<count {
      let key = keys[index]
      let block = geometry.block(of: key)
      if block != previous {
        previous = block
        base = UnsafeRawPointer(bitPattern: addresses[next])
        next += 1
        if let base { try verify(block, base, geometry.blockBytes) }
      }
      let destination = rows + Int(slots[index]) * rowFloats
      if let base {
        UnsafeMutableRawPointer(destination).copyMemory(
          from: base + geometry.offset(of: key), byteCount: rowBytes)
      } else {
        layout.fillInitial(table: key.table, row: key.row, into: destination)
      }
    }
  }

  private func verify(_ block: RowKey, _ base: UnsafeRawPointer?, _ length: Int) throws {
    try Block.verify(
      UnsafeRawBufferPointer(start: base, count: length), block, store.geometry, store.layout,
      path: store.path)
  }
}
