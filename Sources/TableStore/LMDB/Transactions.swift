import CLMDB
import Primitives

/// One consistent state of the model. An open one keeps the pages of its state from being reused.
struct ReadTransaction: ~Copyable {
  let handle: OpaquePointer
  let path: String
  // Keeps the mapping alive as long as the transaction.
  private let environment: Environment

  init(_ environment: Environment) throws {
    var begun: OpaquePointer?
    try check(
      mdb_txn_begin(environment.handle, nil, UInt32(MDB_RDONLY), &begun), "begin a read transaction",
      path: environment.path)
    guard let begun else { throw ChanterError(.broken, "LMDB gave no transaction", path: environment.path) }
    handle = begun
    path = environment.path
    self.environment = environment
  }

  deinit { mdb_txn_abort(handle) }

  /// Lets go of the state but keeps the reader slot and the memory, until `renew`.
  func reset() { mdb_txn_reset(handle) }

  /// Takes the last commit as the state, after `reset`.
  func renew() throws { try check(mdb_txn_renew(handle), "renew a read transaction", path: path) }

  func get(_ database: MDB_dbi, _ key: UInt64) throws -> UnsafeRawBufferPointer? {
    try value(handle, database, key, path)
  }

  func get(_ database: MDB_dbi, _ key: String) throws -> UnsafeRawBufferPointer? {
    try value(handle, database, key, path)
  }
}

/// A write transaction; `Environment.write` commits or aborts it.
struct WriteTransaction: ~Copyable {
  let handle: OpaquePointer
  let path: String

  func get(_ database: MDB_dbi, _ key: UInt64) throws -> UnsafeRawBufferPointer? {
    try value(handle, database, key, path)
  }

  func get(_ database: MDB_dbi, _ key: String) throws -> UnsafeRawBufferPointer? {
    try value(handle, database, key, path)
  }

  /// Opens the named database, making it if need be. The handle is valid for others after the commit.
  func makeDatabase(_ name: String, integerKeys: Bool) throws -> MDB_dbi {
    var database: MDB_dbi = 0
    let flags = UInt32(MDB_CREATE | (integerKeys ? MDB_INTEGERKEY : 0))
    try check(mdb_dbi_open(handle, name, flags, &database), "make the database \(name)", path: path)
    return database
  }

  /// - Parameter appends: the key comes after all others of the database, which are then packed without gaps.
  func put(
    _ database: MDB_dbi, _ key: UInt64, _ bytes: UnsafeRawBufferPointer, appends: Bool = false,
    _ attempt: @autoclosure () -> String
  ) throws {
    var number = key
    try withUnsafeMutableBytes(of: &number) { keyBytes in
      var key = MDB_val(mv_size: 8, mv_data: keyBytes.baseAddress)
      var data = MDB_val(
        mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
      try check(
        mdb_put(handle, database, &key, &data, appends ? UInt32(MDB_APPEND) : 0), attempt(), path: path)
    }
  }

  /// Makes room for a value of `count` bytes under `key` and returns it, to be filled before the next call.
  func reserve(
    _ database: MDB_dbi, _ key: UInt64, count: Int, _ attempt: @autoclosure () -> String
  ) throws -> UnsafeMutableRawBufferPointer {
    var number = key
    return try withUnsafeMutableBytes(of: &number) { bytes in
      try reserve(
        database, MDB_val(mv_size: 8, mv_data: bytes.baseAddress), count: count, attempt())
    }
  }

  /// Makes room for a value of `count` bytes under `name` and returns it, to be filled before the next call.
  func reserve(
    _ database: MDB_dbi, _ name: String, count: Int
  ) throws -> UnsafeMutableRawBufferPointer {
    var text = name
    return try text.withUTF8 { bytes in
      let key = MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
      return try reserve(database, key, count: count, "put the \(name) record")
    }
  }

  private func reserve(
    _ database: MDB_dbi, _ key: MDB_val, count: Int, _ attempt: @autoclosure () -> String
  ) throws -> UnsafeMutableRawBufferPointer {
    var key = key
    var data = MDB_val(mv_size: count, mv_data: nil)
    try check(mdb_put(handle, database, &key, &data, UInt32(MDB_RESERVE)), attempt(), path: path)
    return UnsafeMutableRawBufferPointer(start: data.mv_data, count: count)
  }
}

func value(
  _ transaction: OpaquePointer, _ database: MDB_dbi, _ key: UInt64, _ path: String
) throws -> UnsafeRawBufferPointer? {
  var number = key
  return try withUnsafeMutableBytes(of: &number) { bytes in
    try value(transaction, database, MDB_val(mv_size: 8, mv_data: bytes.baseAddress), path)
  }
}

func value(
  _ transaction: OpaquePointer, _ database: MDB_dbi, _ key: String, _ path: String
) throws -> UnsafeRawBufferPointer? {
  var text = key
  return try text.withUTF8 { bytes in
    let key = MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    return try value(transaction, database, key, path)
  }
}

private func value(
  _ transaction: OpaquePointer, _ database: MDB_dbi, _ key: MDB_val, _ path: String
) throws -> UnsafeRawBufferPointer? {
  var key = key
  var data = MDB_val()
  let code = mdb_get(transaction, database, &key, &data)
  if code == MDB_NOTFOUND { return nil }
  try check(code, "read the model", path: path)
  return UnsafeRawBufferPointer(start: data.mv_data, count: data.mv_size)
}

/// A position in one database with 8-byte integer keys.
struct Cursor: ~Copyable {
  let handle: OpaquePointer

  init(_ transaction: OpaquePointer, _ database: MDB_dbi, path: String) throws {
    var opened: OpaquePointer?
    try check(mdb_cursor_open(transaction, database, &opened), "open a cursor", path: path)
    guard let opened else { throw ChanterError(.broken, "LMDB gave no cursor", path: path) }
    handle = opened
  }

  deinit { mdb_cursor_close(handle) }

  /// Moves as `operation` says (`MDB_FIRST`, `MDB_NEXT`, `MDB_SET_RANGE`, …; the last starts at `start`) and returns
  /// the entry found there, or nil at the end.
  func move(
    _ operation: MDB_cursor_op, from start: UInt64 = 0, path: String
  ) throws -> (key: UInt64, value: UnsafeRawBufferPointer)? {
    var number = start
    return try withUnsafeMutableBytes(of: &number) { bytes in
      var key = MDB_val(mv_size: 8, mv_data: bytes.baseAddress)
      var data = MDB_val()
      let code = mdb_cursor_get(handle, &key, &data, operation)
      if code == MDB_NOTFOUND { return nil }
      try check(code, "read the model", path: path)
      guard key.mv_size == 8, let address = key.mv_data else {
        throw ChanterError(.corrupt, "a key of data.mdb has the wrong length; " + restoreAdvice, path: path)
      }
      return (
        UnsafeRawPointer(address).loadUnaligned(as: UInt64.self),
        UnsafeRawBufferPointer(start: data.mv_data, count: data.mv_size)
      )
    }
  }
}
