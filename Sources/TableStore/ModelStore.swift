import Foundation
public import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A model on disk: one directory with one LMDB environment that holds every row ever trained, the dense parameters
/// and the position in the data. Format.md describes the bytes.
///
/// One process opens a model directory once; everything inside the process goes through that one store. A fetcher, a
/// snapshot, a commit and a compaction step may run on different threads at the same time; LMDB serialises the writes.
///
/// Unchecked Sendable: all stored properties are immutable after `init`, and the environment guards itself.
public final class ModelStore: @unchecked Sendable {
  /// The model directory.
  public let path: String
  /// The trainer's own description of the model, as it gave it to `create`.
  public let header: String
  public let layout: RowLayout
  let geometry: Geometry
  let environment: Environment
  let databases: Databases
  /// Where page 0 of the file is mapped.
  let mapBase: UInt
  /// A file of more bytes is read past the system's cache: twice the memory that this process can have, of which the cache gets
  /// what nobody else takes, so that most blocks would not be found there.
  let directAbove = 2 * MachineMemory.limit
  private let lock: TrainerLock?

  init(
    _ environment: Environment, _ databases: Databases, layout: RowLayout, header: String, lock: TrainerLock?
  ) throws {
    path = environment.path
    self.header = header
    self.layout = layout
    geometry = Geometry(rowBytes: layout.rowBytes)
    self.environment = environment
    self.databases = databases
    mapBase = try environment.mapBase(holding: Databases.metaName, in: databases.main)
    self.lock = lock
  }

  /// Makes a model whose rows all have their initial values, with one durable transaction, and opens it for training.
  ///
  /// Its files are made in a folder of their own and get their names when the transaction is on the disk, the data file
  /// last: whoever looks meanwhile finds no model, and never half of one.
  ///
  /// - Parameters:
  ///   - path: must not exist, or be an empty directory, or one in which a creation was interrupted.
  ///   - header: text that the store keeps and gives back, opaque to it.
  ///   - dense: the dense record; later commits may give it another size.
  ///   - cursor: batches trained.
  ///   - others: names of files that may be there already.
  ///   - prepare: called before the model appears, with the right to train it held: puts files beside it.
  /// - Throws: `.exists` if something else is at `path`, `.locked` if another process is creating the same model.
  public static func create(
    at path: String, header: String, layout: RowLayout, dense: UnsafeRawBufferPointer, cursor: UInt64,
    beside others: Set<String> = [], prepare: () throws -> Void = {}
  ) throws -> ModelStore {
    if let fault = HeaderRecord.layoutFault(layout) { throw ChanterError(.badInput, fault, path: path) }
    try requireVacant(path, but: others)
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ChanterError(
        .io, "cannot make the directory (\(error.localizedDescription)); choose another path", path: path)
    }
    let lock = try TrainerLock(path: path)
    if try exists(at: path) { throw modelExists(path) }
    try prepare()
    let nursery = path + "/" + nurseryName
    // What an interrupted creation left there, and nothing else.
    for file in [dataFile, lockFile] { File.remove(nursery + "/" + file) }
    rmdir(nursery)
    guard mkdir(nursery, 0o755) == 0 else {
      throw failure(errno, attempt: "make the model's files", path: path)
    }
    let environment = try Environment(path: path, readOnly: false, filesIn: nursery)
    let databases = try environment.write { transaction in
      let databases = try Databases(making: layout, in: transaction)
      try putHeader(layout, header: header, databases, transaction)
      let state = CommitState(commit: 0, cursor: cursor, denseBytes: dense.count)
      try putState(
        state, dense: dense, Geometry(rowBytes: layout.rowBytes), databases, environment, transaction)
      return databases
    }
    // The lock file first: a reader that finds the data must take its slot where the trainer looks for it.
    for file in [lockFile, dataFile] {
      guard rename(nursery + "/" + file, path + "/" + file) == 0 else {
        throw failure(errno, attempt: "name the new model's \(file)", path: path)
      }
    }
    rmdir(nursery)
    try File.synchronizeDirectory(path)
    try File.synchronizeDirectory(File.parent(of: path))
    return try ModelStore(environment, databases, layout: layout, header: header, lock: lock)
  }

  /// Replaces the header and gives tables more rows, with one durable transaction. Nothing stored changes: a row that was not there
  /// before has its initial value.
  /// - Parameter layout: that of this store, but for tables with more rows.
  /// - Returns: the store with which to go on instead of this one.
  /// - Throws: `.mismatch` for a layout that is another in anything else; nothing was written then.
  public func extended(to layout: RowLayout, header: String) throws -> ModelStore {
    let own = self.layout
    let grown = RowLayout(
      tables: layout.tables, dimension: own.dimension, stateFloats: own.stateFloats, seed: own.seed,
      randomWeights: own.randomWeights, initialScales: own.initialScales)
    guard lock != nil, layout == grown, layout.tables.map(\.name) == own.tables.map(\.name),
      zip(layout.tables, own.tables).allSatisfy({ $0.rows >= $1.rows })
    else {
      throw ChanterError(
        .mismatch, "the model's tables are not those that this dataset extends; give --out a new path",
        path: path)
    }
    try environment.write { try Self.putHeader(layout, header: header, databases, $0) }
    return try ModelStore(environment, databases, layout: layout, header: header, lock: lock)
  }

  /// True if something was ever committed there, which opening then shows to be a model or not; false for a missing
  /// path and for a creation that was interrupted, since creating is one transaction.
  public static func exists(at path: String) throws -> Bool {
    guard let newest = try MetaPage.readNewest(path: path) else { return false }
    return newest.main.entries > 0
  }

  /// Opens a model to train it; only one process may at a time.
  /// - Throws: `.locked` naming the process that trains it already; `.corrupt`, `.unsupported`, `.io`.
  public static func openForTraining(at path: String) throws -> ModelStore {
    guard try hasData(path) else { throw noModel(path) }
    let lock = try TrainerLock(path: path)
    let store = try open(path, readOnly: false, lock: lock)
    try store.environment.clearStaleReaders()
    return store
  }

  /// Opens a model to read it, also while another process trains it. Needs write permission for `lock.mdb`, unless
  /// the file system is read-only.
  public static func openForReading(at path: String) throws -> ModelStore {
    guard try hasData(path) else { throw noModel(path) }
    return try open(path, readOnly: true, lock: nil)
  }

  private static func open(_ path: String, readOnly: Bool, lock: TrainerLock?) throws -> ModelStore {
    let environment = try Environment(path: path, readOnly: readOnly)
    try TreeCheck.run(environment)
    guard let found = try Databases.open(in: environment) else {
      let advice = readOnly ? "give the directory that `chanter train --out` made" : "choose another path"
      throw ChanterError(
        .exists, "data.mdb there holds no model of Chanter's; " + advice, path: path)
    }
    return try ModelStore(
      environment, found.databases, layout: found.layout, header: found.header, lock: lock)
  }

  /// The last commit.
  public func readState() throws -> CommitState {
    try environment.read { try StateRecord.read($0.get(databases.meta, Record.state.key), path: path) }
  }

  /// The last commit, with its dense record copied to `dense`, which must have exactly its size.
  public func readState(dense: UnsafeMutableRawBufferPointer) throws -> CommitState {
    try environment.read { try Self.readState(dense: dense, geometry, databases, $0) }
  }

  static func readState(
    dense: UnsafeMutableRawBufferPointer, _ geometry: Geometry, _ databases: Databases,
    _ transaction: borrowing ReadTransaction
  ) throws -> CommitState {
    let path = transaction.path
    let state = try StateRecord.read(transaction.get(databases.meta, Record.state.key), path: path)
    guard state.denseBytes == dense.count else {
      throw ChanterError(
        .mismatch,
        "the model's dense parameters have \(state.denseBytes) bytes, and the configuration asks for"
          + " \(dense.count); use the configuration that the model was made with", path: path)
    }
    try DenseParts(geometry).forEach(state, databases, transaction) { _, content, offset in
      UnsafeMutableRawBufferPointer(rebasing: dense[offset...]).copyMemory(from: content)
    }
    return state
  }

  static func putHeader(
    _ layout: RowLayout, header: String, _ databases: Databases, _ transaction: borrowing WriteTransaction
  ) throws {
    let bytes = HeaderRecord.bytes(layout, header: header)
    let record = try transaction.reserve(databases.meta, Record.header.key, count: bytes.count)
    record.copyBytes(from: bytes)
  }

  /// Writes the state and dense records; returns the bytes written.
  @discardableResult
  static func putState(
    _ state: CommitState, dense: UnsafeRawBufferPointer, _ geometry: Geometry, _ databases: Databases,
    _ environment: Environment,
    _ transaction: borrowing WriteTransaction
  ) throws -> Int {
    let denseBytes = try DenseParts(geometry).put(
      dense, commit: state.commit, databases, environment, transaction)
    let stateRecord = try transaction.reserve(
      databases.meta, Record.state.key, count: StateRecord.byteCount)
    StateRecord.write(state, into: stateRecord)
    return denseBytes + StateRecord.byteCount
  }
}

// What lies in the directory.
extension ModelStore {
  public static let dataFile = "data.mdb"
  static let lockFile = "lock.mdb"
  /// Where the files of a model are made.
  public static let nurseryName = "creating"

  /// Throws unless nothing, or only what an interrupted creation leaves, is at `path`.
  private static func requireVacant(_ path: String, but others: Set<String>) throws {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else { return }
    guard isDirectory.boolValue, let names = try? FileManager.default.contentsOfDirectory(atPath: path),
      Set(names).subtracting(others).isSubset(of: [dataFile, lockFile, TrainerLock.fileName, nurseryName])
    else {
      throw ChanterError(.exists, "something else is there already; choose another path", path: path)
    }
  }

  /// True if the directory has a data file with something in it.
  static func hasData(_ path: String) throws -> Bool {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path + "/" + dataFile)
    return (attributes?[.size] as? Int ?? 0) > 0
  }

  static func noModel(_ path: String) -> ChanterError {
    ChanterError(.io, "no model is there; give the directory that `chanter train --out` made", path: path)
  }

  private static func modelExists(_ path: String) -> ChanterError {
    ChanterError(.exists, "a model is there already; resume it or choose another path", path: path)
  }
}
