import CLMDB
import Primitives

/// The dense record, opaque here, in parts that take the pages of a block: as one value it would need a longer run of free
/// pages than blocks and chunks leave behind, and each commit would make the file grow by the whole record.
struct DenseParts {
  private let headerBytes = Seal.byteCount + 8
  private let contentBytes: Int

  init(_ geometry: Geometry) { contentBytes = geometry.blockBytes - headerBytes }

  /// Values of a record of so many bytes.
  func count(_ denseBytes: Int) -> Int { (denseBytes + contentBytes - 1) / contentBytes }

  /// Bytes of all its values.
  func byteCount(_ denseBytes: Int) -> Int { denseBytes + count(denseBytes) * headerBytes }

  /// Writes the record of commit `commit` over that of the commit before; returns the bytes written.
  func put(
    _ dense: UnsafeRawBufferPointer, commit: UInt64, _ databases: Databases, _ environment: Environment,
    _ transaction: borrowing WriteTransaction
  ) throws -> Int {
    let count = count(dense.count)
    try announce(databases, transaction.handle, transaction.path)
    for part in 0..<count {
      if let replaced = try transaction.get(databases.dense, UInt64(part)) {
        try environment.checkPageHeader(of: replaced)
      }
      let content = UnsafeRawBufferPointer(
        rebasing: dense.dropFirst(part * contentBytes).prefix(contentBytes))
      let value = try transaction.reserve(
        databases.dense, UInt64(part), count: headerBytes + content.count,
        "put part \(part) of the dense record")
      value.storeBytes(of: commit.littleEndian, toByteOffset: Seal.byteCount, as: UInt64.self)
      UnsafeMutableRawBufferPointer(rebasing: value[headerBytes...]).copyMemory(from: content)
      Seal.close(value, .densePart(UInt64(part)))
    }
    let cursor = try Cursor(transaction.handle, databases.dense, path: transaction.path)
    while let last = try cursor.move(MDB_LAST, path: transaction.path), last.key >= UInt64(count) {
      try environment.checkPageHeader(of: last.value)
      try check(mdb_cursor_del(cursor.handle, 0), "shorten the dense record", path: transaction.path)
    }
    return byteCount(dense.count)
  }

  /// Throws unless there are as many parts as the state says, so that its size may be believed and memory taken for it.
  func requireAll(
    _ state: CommitState, _ databases: Databases, _ transaction: borrowing ReadTransaction
  ) throws {
    let path = transaction.path
    var statistics = MDB_stat()
    try check(mdb_stat(transaction.handle, databases.dense, &statistics), "count parts", path: path)
    let stored = Int(statistics.ms_entries)
    guard state.denseBytes <= stored * contentBytes, count(state.denseBytes) == stored else {
      throw damaged("\(stored) parts for \(state.denseBytes) bytes", path)
    }
  }

  /// Calls `body` with each part's value, whole and of this state, and the place of its content in the record.
  func forEach(
    _ state: CommitState, _ databases: Databases, _ transaction: borrowing ReadTransaction,
    _ body: (_ value: UnsafeRawBufferPointer, _ content: UnsafeRawBufferPointer, _ offset: Int) throws -> Void
  ) throws {
    let path = transaction.path
    try requireAll(state, databases, transaction)
    try announce(databases, transaction.handle, path)
    let cursor = try Cursor(transaction.handle, databases.dense, path: path)
    let count = count(state.denseBytes)
    for part in 0..<count {
      let found = try cursor.move(part == 0 ? MDB_FIRST : MDB_NEXT, path: path)
      guard let (key, value) = found, key == UInt64(part) else {
        throw damaged("part \(part) is missing", path)
      }
      switch Seal.verify(value, .densePart(key)) {
      case .intact: break
      case .newer(let found): throw Seal.newer(found, "the dense record", path: path)
      case .damaged: throw damaged("checksum of part \(part)", path)
      }
      let offset = part * contentBytes
      guard value.count == headerBytes + min(contentBytes, state.denseBytes - offset) else {
        throw damaged("length of part \(part)", path)
      }
      let commit = UInt64(
        littleEndian: value.loadUnaligned(fromByteOffset: Seal.byteCount, as: UInt64.self))
      guard commit == state.commit else {
        throw damaged("part \(part) is of commit \(commit), not of \(state.commit)", path)
      }
      try body(value, UnsafeRawBufferPointer(rebasing: value[headerBytes...]), offset)
    }
  }

  /// Asks the system for the stored parts, which lie anywhere in the file.
  private func announce(_ databases: Databases, _ transaction: OpaquePointer, _ path: String) throws {
    let cursor = try Cursor(transaction, databases.dense, path: path)
    var readAhead = ReadAhead()
    var entry = try cursor.move(MDB_FIRST, path: path)
    while let (_, value) = entry {
      readAhead.add(UInt(bitPattern: value.baseAddress), count: value.count)
      entry = try cursor.move(MDB_NEXT, path: path)
    }
    readAhead.flush()
  }

  private func damaged(_ what: String, _ path: String) -> ChanterError {
    ChanterError(.corrupt, "the dense record is damaged (\(what)); " + restoreAdvice, path: path)
  }
}
