import CLMDB
import Primitives

/// Handles of the databases inside a model's environment.
struct Databases: Sendable {
  /// The tree of the others' records, always LMDB's number 1 (`MAIN_DBI`).
  let main: MDB_dbi = 1
  let meta: MDB_dbi
  let chunks: MDB_dbi
  let dense: MDB_dbi
  /// One per table, in the layout's order.
  let tables: [MDB_dbi]

  static let metaName = "meta"
  static let chunksName = "chunks"
  static let denseName = "dense"
  static let tablePrefix = "table."
  static func tableName(_ table: TableLayout) -> String { tablePrefix + table.name }

  /// Makes the databases of a new model.
  init(making layout: RowLayout, in transaction: borrowing WriteTransaction) throws {
    meta = try transaction.makeDatabase(Self.metaName, integerKeys: false)
    chunks = try transaction.makeDatabase(Self.chunksName, integerKeys: true)
    dense = try transaction.makeDatabase(Self.denseName, integerKeys: true)
    var tables: [MDB_dbi] = []
    for table in layout.tables {
      tables.append(try transaction.makeDatabase(Self.tableName(table), integerKeys: true))
    }
    self.tables = tables
  }

  private init(meta: MDB_dbi, chunks: MDB_dbi, dense: MDB_dbi, tables: [MDB_dbi]) {
    self.meta = meta
    self.chunks = chunks
    self.dense = dense
    self.tables = tables
  }

  /// Opens the databases of a committed model and reads its header; nil if no model was ever committed here.
  static func open(
    in environment: Environment
  ) throws -> (databases: Databases, layout: RowLayout, header: String)? {
    let path = environment.path
    var begun: OpaquePointer?
    try check(
      mdb_txn_begin(environment.handle, nil, UInt32(MDB_RDONLY), &begun), "begin a read transaction",
      path: path)
    guard let begun else { throw ChanterError(.broken, "LMDB gave no transaction", path: path) }
    let found: (databases: Databases, layout: RowLayout, header: String)?
    do {
      found = try open(begun, path: path)
    } catch {
      mdb_txn_abort(begun)
      throw error
    }
    // Handles outlive a transaction only if it commits, also one that only reads.
    try check(mdb_txn_commit(begun), "open the databases", path: path)
    return found
  }

  private static func open(
    _ transaction: OpaquePointer, path: String
  ) throws -> (databases: Databases, layout: RowLayout, header: String)? {
    func handle(_ name: String) throws -> MDB_dbi? {
      var database: MDB_dbi = 0
      let code = mdb_dbi_open(transaction, name, 0, &database)
      if code == MDB_NOTFOUND { return nil }
      try check(code, "open the database \(name)", path: path)
      return database
    }
    func required(_ name: String) throws -> MDB_dbi {
      guard let database = try handle(name) else {
        throw ChanterError(.corrupt, "the database \(name) is missing; " + restoreAdvice, path: path)
      }
      return database
    }
    guard let meta = try handle(metaName) else { return nil }
    let record = try value(transaction, meta, Record.header.key, path)
    let (layout, header) = try HeaderRecord.read(record, path: path)
    let chunks = try required(chunksName)
    let dense = try required(denseName)
    let tables = try layout.tables.map { try required(tableName($0)) }
    return (Databases(meta: meta, chunks: chunks, dense: dense, tables: tables), layout, header)
  }
}
