import CLMDB
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// One open LMDB environment: the file `data.mdb` of a model directory, mapped into memory.
///
/// A process must not open one directory twice: LMDB's file locks belong to the process, and closing one of the two
/// would drop the locks of both.
///
/// Unchecked Sendable: both properties are immutable, and LMDB guards its environment itself.
final class Environment: @unchecked Sendable {
  let handle: OpaquePointer
  let path: String
  let pageBytes: UInt

  /// Tables that one model may have; LMDB sizes each transaction by it (about 50 bytes a table).
  static let maximumTables = 1024
  /// Address space to reserve, halved while the system refuses. The file grows only as it is used.
  private static let largestMap = 1 << 40
  private static let smallestMap = 1 << 30
  /// What LMDB makes it for 126 readers, its default.
  private static let lockFileBytes = 8192

  /// Opens the environment in the existing directory `path`; makes its files unless `readOnly`.
  ///
  /// - Parameter directory: where the files are while a model is made, `path` if nil; errors name `path`.
  ///
  /// No read-ahead: it would read megabytes around every row. Read transactions belong to objects and not to
  /// threads (`MDB_NOTLS`). Fresh pages are not zeroed first, since every value is written whole. Commits sync.
  init(path: String, readOnly: Bool, filesIn directory: String? = nil) throws {
    let directory = directory ?? path
    var flags = UInt32(MDB_NORDAHEAD | MDB_NOTLS | MDB_NOMEMINIT)
    if readOnly { flags |= UInt32(MDB_RDONLY) }
    // LMDB maps the file by what its first pages say, and checks little of it.
    _ = try MetaPage.readNewest(path: directory)
    try Self.reserveLockFile(directory)
    var mapSize = Self.largestMap
    while true {
      var created: OpaquePointer?
      try check(mdb_env_create(&created), "open the model", path: path)
      guard let created else { throw ChanterError(.broken, "LMDB gave no environment", path: path) }
      mdb_env_set_maxdbs(created, UInt32(Self.maximumTables + 3))
      mdb_env_set_mapsize(created, mapSize)
      let code = mdb_env_open(created, directory, flags, 0o644)
      if code == 0 {
        handle = created
        break
      }
      mdb_env_close(created)
      guard code == ENOMEM, mapSize > Self.smallestMap else {
        throw failure(code, attempt: "open the model", path: path)
      }
      mapSize /= 2
    }
    self.path = path
    var statistics = MDB_stat()
    mdb_env_stat(handle, &statistics)
    pageBytes = UInt(statistics.ms_psize)
  }

  /// Gives `lock.mdb` its space on the disk. LMDB writes it through a map, where a full disk would be a signal that ends
  /// the process and not an error.
  private static func reserveLockFile(_ path: String) throws {
    let descriptor = open(path + "/lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    // Where it cannot be written, LMDB knows what that means: it reads a read-only file system without it.
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, Int(status.st_blocks) * 512 < lockFileBytes else { return }
    let code = posix_fallocate(descriptor, 0, off_t(lockFileBytes))
    if code == ENOSPC || code == EDQUOT { throw failure(code, attempt: "make lock.mdb", path: path) }
  }

  deinit { mdb_env_close(handle) }

  /// Throws if the header of the page run that holds `value` is damaged.
  ///
  /// LMDB believes that header when it replaces or deletes the value, and would free pages that are in use. `value`
  /// is one that the running transaction has not written.
  func checkPageHeader(of value: UnsafeRawBufferPointer) throws {
    let address = UInt(bitPattern: value.baseAddress)
    let headerBytes = UInt(Geometry.pageHeaderBytes)
    // A value of up to half a page may lie inside an index page, which a write transaction may have copied to anywhere
    // in memory, so its address tells nothing.
    guard UInt(value.count) > pageBytes / 2, address & (pageBytes - 1) == headerBytes,
      let header = UnsafeRawPointer(bitPattern: address - headerBytes)
    else { return }
    let flags = header.loadUnaligned(fromByteOffset: 10, as: UInt16.self)
    let pages = header.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
    let overflowFlag: UInt16 = 0x04
    guard flags == overflowFlag, UInt(pages) == (UInt(value.count) + headerBytes + pageBytes - 1) / pageBytes
    else {
      throw ChanterError(.corrupt, "the page header of a value is damaged; " + restoreAdvice, path: path)
    }
  }

  /// Where page 0 is mapped, which stays so while the environment is open: the tree of databases, which must not be empty, lies in
  /// pages that begin with their own number.
  func mapBase(holding name: String, in database: MDB_dbi) throws -> UInt {
    try read { transaction in
      guard let record = try transaction.get(database, name), let address = record.baseAddress else {
        throw ChanterError(.corrupt, "the database \(name) is missing; " + restoreAdvice, path: path)
      }
      let page = UInt(bitPattern: address) & ~(pageBytes - 1)
      let number = UnsafeRawPointer(address - Int(UInt(bitPattern: address) - page)).loadUnaligned(
        as: UInt.self)
      guard number <= lastPage, number * pageBytes < page else {
        throw ChanterError(.corrupt, "an index page has a wrong number; " + restoreAdvice, path: path)
      }
      return page - number * pageBytes
    }
  }

  /// The open file.
  var descriptor: Int32 {
    var descriptor: Int32 = -1
    // It fails for no environment that is open.
    mdb_env_get_fd(handle, &descriptor)
    return descriptor
  }

  /// The last page of the newest commit.
  var lastPage: UInt {
    var information = MDB_envinfo()
    mdb_env_info(handle, &information)
    return UInt(information.me_last_pgno)
  }

  /// Bytes of the newest commit's pages, all that came before it included.
  var fileBytes: Int { Int((lastPage + 1) * pageBytes) }

  /// Frees the reader slots that killed processes left behind, which would keep old pages from being reused.
  func clearStaleReaders() throws {
    var dead: Int32 = 0
    try check(mdb_reader_check(handle, &dead), "clear stale readers", path: path)
  }

  /// Whether anything was written since `transaction` took its state, by this process or another.
  func hasNewerState(than transaction: borrowing ReadTransaction) -> Bool {
    var information = MDB_envinfo()
    mdb_env_info(handle, &information)
    return information.me_last_txnid != mdb_txn_id(transaction.handle)
  }

  /// Runs `body` on one consistent state of the model, the last commit.
  func read<Result>(_ body: (borrowing ReadTransaction) throws -> Result) throws -> Result {
    let transaction = try ReadTransaction(self)
    return try body(transaction)
  }

  /// Runs `body` in a write transaction on the calling thread and commits it durably. If anything throws, nothing
  /// of it happened.
  func write<Result>(_ body: (borrowing WriteTransaction) throws -> Result) throws -> Result {
    var begun: OpaquePointer?
    try check(mdb_txn_begin(handle, nil, 0, &begun), "begin a write transaction", path: path)
    guard let begun else { throw ChanterError(.broken, "LMDB gave no transaction", path: path) }
    // A constant of its own: with the value made in the call, the optimiser of Swift 6.3.1 crashes.
    let transaction = WriteTransaction(handle: begun, path: path)
    let result: Result
    do {
      result = try body(transaction)
    } catch {
      mdb_txn_abort(begun)
      throw error
    }
    try check(EarlyWriteBack.during(descriptor) { mdb_txn_commit(begun) }, "commit", path: path)
    return result
  }
}
