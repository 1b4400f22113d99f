import CLMDB
public import Primitives

/// The commits that something was read from while a trainer may have gone on.
public struct CommitSpan: Equatable, Sendable {
  public private(set) var first: CommitState
  public private(set) var last: CommitState
  /// Whether all of it comes from one commit.
  public var isOne: Bool { first.commit == last.commit }

  public init(_ state: CommitState) {
    first = state
    last = state
  }

  public mutating func add(_ state: CommitState) {
    if state.commit < first.commit { first = state }
    if state.commit > last.commit { last = state }
  }
}

extension ModelStore {
  /// Blocks that are read before the scan looks for a newer state.
  static let liveGroupBlocks = 1024

  /// Calls `body` with every row whose bytes differ from their initial value, once each, in ascending (table, row) order, in
  /// short transactions: after each group of blocks the scan goes on from the newest state, if there is a newer one.
  ///
  /// So no page stays unused for longer than a group takes, and the file of a model in training does not grow. Each row is
  /// what some commit held, and blocks and chunks are looked up in one transaction; but rows far apart may come from
  /// different commits of the span that is returned. Where nothing is committed meanwhile, that is one commit and the answer the
  /// same as a `Snapshot`'s. Memory: as `Snapshot.forEachStoredRow`.
  /// - Parameters:
  ///   - table: the one table to go through; nil for all.
  ///   - progress: called now and then with the number of rows looked at so far.
  public func forEachChangedRow(
    of table: Int? = nil, progress: (Int) -> Void = { _ in },
    _ body: (RowKey, UnsafePointer<Float>) throws -> Void
  ) throws -> CommitSpan {
    let initial = InitialRows(layout)
    var rowCount = 0
    return try forEachLiveBlock(of: table, groupBlocks: Self.liveGroupBlocks) { block, bytes in
      try forEachRow(of: block, in: bytes) { key, row in
        if !initial.contains(key, row) { try body(key, row) }
        rowCount += 1
        if rowCount % (1 << 16) == 0 { progress(rowCount) }
      }
    }
  }

  /// - Parameter groupBlocks: blocks of one transaction where each group finds a newer state.
  func forEachLiveBlock(
    of table: Int? = nil, groupBlocks: Int, _ body: (RowKey, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> CommitSpan {
    let buffer = AlignedBuffer<UInt8>(count: geometry.blockBytes)
    let bytes = UnsafeMutableRawBufferPointer(start: buffer.base, count: geometry.blockBytes)
    let tables = range(of: table)
    let transaction = try ReadTransaction(environment)
    var span: CommitSpan?
    // The first block that was not read yet.
    var next = RowKey(table: tables.lowerBound, row: 0)
    while true {
      let state = try StateRecord.read(transaction.get(databases.meta, Record.state.key), path: path)
      var read = span ?? CommitSpan(state)
      read.add(state)
      span = read
      var blocks = try StoredBlocks(self, transaction: transaction.handle, tables: tables, from: next)
      repeat {
        for _ in 0..<groupBlocks {
          guard let block = try blocks.next(into: bytes) else { return read }
          try body(block, bytes)
          // No row number lies behind the last block that a table can have.
          let isLast = UInt64(block.row) == geometry.lastBlock
          next = isLast ? RowKey(table: block.table + 1, row: 0) : block + 1
        }
      } while !environment.hasNewerState(than: transaction)
      if next.table >= tables.upperBound { return read }
      transaction.reset()
      try transaction.renew()
    }
  }
}
