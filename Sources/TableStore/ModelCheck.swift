import CLMDB
import Primitives

/// One damaged place of a model.
public struct Damage: Equatable, Sendable {
  /// What is damaged. `index`: pages of the file that say where values lie; what they lead to cannot be read.
  public enum Part: String, Codable, Sendable {
    case index, header, state, dense, chunk, block, vocabulary
  }
  public let part: Part
  /// The table that lost rows, where it is known, and the rows among which the lost ones are.
  public let table: String?
  public let rows: ClosedRange<UInt32>?
  /// The error that whoever reads this place gets.
  public let message: String

  public init(_ part: Part, table: String? = nil, rows: ClosedRange<UInt32>? = nil, message: String) {
    self.part = part
    self.table = table
    self.rows = rows
    self.message = message
  }
}

/// What a check of a model has read.
public struct CheckResult {
  /// The model, or nil where its index or header is too damaged to open it.
  public internal(set) var store: ModelStore?
  /// The last commit, unless its record is damaged.
  public internal(set) var state: CommitState?
  public internal(set) var blocks = 0
  public internal(set) var chunks = 0
  /// Bytes of all values read.
  public internal(set) var bytes = 0
}

extension ModelStore {
  /// Reads every value of a model's last commit, also while it is in training, and goes on behind what is damaged.
  ///
  /// Holds one read transaction, 40 bytes for each of 1,024 blocks read ahead and nothing that grows with the model.
  /// - Parameters:
  ///   - found: called with each damaged place.
  ///   - progress: called now and then with the bytes read so far.
  /// - Throws: what keeps the check from reading (`.io`, `.unsupported`); damage does not throw.
  public static func examine(
    at path: String, found: (Damage) -> Void, progress: (Int) -> Void = { _ in }
  ) throws -> CheckResult {
    guard try hasData(path) else { throw noModel(path) }
    var result = CheckResult()
    var damagedDatabases: Set<String> = []
    try withoutActuallyEscaping(found) { found in
      try report(.index, to: found) {
        let environment = try Environment(path: path, readOnly: true)
        try TreeCheck.run(environment) { database, error in
          damagedDatabases.insert(database)
          let prefix = Databases.tablePrefix
          let table = database.hasPrefix(prefix) ? String(database.dropFirst(prefix.count)) : nil
          found(Damage(.index, table: table, message: "\(database): \(error)"))
        }
        guard !damagedDatabases.contains(Databases.metaName) else { return }
        try report(.header, to: found) {
          guard let opened = try Databases.open(in: environment) else { throw noModel(path) }
          result.store = try ModelStore(
            environment, opened.databases, layout: opened.layout, header: opened.header, lock: nil)
        }
      }
    }
    guard let store = result.store else { return result }
    let transaction = try ReadTransaction(store.environment)
    try store.checkRecords(
      transaction, readsDense: !damagedDatabases.contains(Databases.denseName), &result, found)
    if !damagedDatabases.contains(Databases.chunksName) {
      try store.checkChunks(transaction, &result, found, progress)
    }
    let skipped = store.layout.tables.indices.filter {
      damagedDatabases.contains(Databases.tableName(store.layout.tables[$0]))
    }
    try store.checkBlocks(transaction, skipping: Set(skipped), &result, found, progress)
    progress(result.bytes)
    return result
  }

  private func checkRecords(
    _ transaction: borrowing ReadTransaction, readsDense: Bool, _ result: inout CheckResult,
    _ found: (Damage) -> Void
  ) throws {
    let stateRecord = try transaction.get(databases.meta, Record.state.key)
    result.bytes += stateRecord?.count ?? 0
    try report(.state, to: found) { result.state = try StateRecord.read(stateRecord, path: path) }
    // Without the state nothing says how long the record should be.
    guard readsDense, let state = result.state else { return }
    try report(.dense, to: found) {
      try DenseParts(geometry).forEach(state, databases, transaction) { value, _, _ in
        result.bytes += value.count
        try environment.checkPageHeader(of: value)
      }
    }
  }

  private func checkChunks(
    _ transaction: borrowing ReadTransaction, _ result: inout CheckResult, _ found: (Damage) -> Void,
    _ progress: (Int) -> Void
  ) throws {
    let cursor = try Cursor(transaction.handle, databases.chunks, path: path)
    var operation = MDB_FIRST
    // Of the chunk before, unless it was damaged.
    var previous: Chunk.Location?
    var expected: UInt64?
    while true {
      var next: (key: UInt64, value: UnsafeRawBufferPointer)?
      try report(.chunk, to: found) { next = try cursor.move(operation, path: path) }
      guard let entry = next else { return }
      operation = MDB_NEXT
      if result.chunks % ChunkIndex.groupChunks == 0 {
        // Damage on the way is what the walk itself reports.
        try? announceChunks(transaction.handle, from: entry.key, count: ChunkIndex.groupChunks)
      }
      result.chunks += 1
      result.bytes += entry.value.count
      let isFirst = expected.map { Chunk.commit(of: $0) != Chunk.commit(of: entry.key) } ?? true
      if isFirst { previous = nil }
      var chunk: Chunk.Location?
      try report(.chunk, to: found) {
        try environment.checkPageHeader(of: entry.value)
        let located = try Chunk.locate(entry.value, key: entry.key, geometry, path: path)
        try Chunk.verify(located, geometry, layout, path: path)
        chunk = located
      }
      if isFirst ? Chunk.sequence(of: entry.key) != 0 : entry.key != expected {
        found(
          Damage(
            .chunk,
            message: "chunks before chunk \(Chunk.sequence(of: entry.key)) of commit"
              + " \(Chunk.commit(of: entry.key)) are missing; " + restoreAdvice))
      }
      if let previous, let chunk, chunk.firstKey <= previous.lastKey {
        found(
          Damage(
            .chunk,
            message: "the chunks of commit \(Chunk.commit(of: entry.key)) are out of order; " + restoreAdvice)
        )
      }
      previous = chunk
      expected = entry.key &+ 1
      if result.chunks % 256 == 0 { progress(result.bytes) }
    }
  }

  private func checkBlocks(
    _ transaction: borrowing ReadTransaction, skipping tables: Set<Int>, _ result: inout CheckResult,
    _ found: (Damage) -> Void, _ progress: (Int) -> Void
  ) throws {
    var scan = BlockScan(self, transaction: transaction.handle, skippedTables: tables)
    while true {
      var isAtEnd = false
      try report(.block, to: found) {
        guard let entry = try scan.peek() else {
          isAtEnd = true
          return
        }
        scan.advance()
        result.blocks += 1
        result.bytes += entry.bytes.count
        if result.blocks % (1 << 14) == 0 { progress(result.bytes) }
        try report(
          .block, table: layout.tables[entry.block.table].name, rows: geometry.rows(of: entry.block),
          to: found
        ) {
          try Block.verify(entry.bytes, entry.block, geometry, layout, path: path)
          try environment.checkPageHeader(of: entry.bytes)
        }
      }
      if isAtEnd { return }
    }
  }
}

/// Runs `body` and reports damage that it throws.
private func report(
  _ part: Damage.Part, table: String? = nil, rows: ClosedRange<UInt32>? = nil, to found: (Damage) -> Void,
  _ body: () throws -> Void
) throws {
  do {
    try body()
  } catch let error as ChanterError where error.kind == .corrupt {
    found(Damage(part, table: table, rows: rows, message: error.description))
  }
}
