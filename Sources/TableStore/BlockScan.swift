import CLMDB
import Primitives

/// Walks the stored blocks of all tables in ascending order, announcing them to the system a window ahead.
struct BlockScan {
  private static let windowBlocks = 1024
  private let store: ModelStore
  private let transaction: OpaquePointer
  private let skippedTables: Set<Int>
  private var window: [(block: RowKey, bytes: UnsafeRawBufferPointer)] = []
  private var position = 0
  private var table: Int
  // Where the next window starts in the table, or nil when the table is done.
  private var nextBlock: UInt64?

  /// - Parameter first: the block to begin at, stored or not.
  init(
    _ store: ModelStore, transaction: OpaquePointer, skippedTables: Set<Int> = [], from first: RowKey = 0
  ) {
    table = first.table
    nextBlock = UInt64(first.row)
    self.store = store
    self.transaction = transaction
    self.skippedTables = skippedTables
    window.reserveCapacity(Self.windowBlocks)
  }

  /// The next block, not yet checked, or nil at the end. After an error the scan goes on behind what caused it.
  mutating func peek() throws -> (block: RowKey, bytes: UnsafeRawBufferPointer)? {
    while position == window.count {
      guard table < store.databases.tables.count else { return nil }
      try fill()
    }
    return window[position]
  }

  mutating func advance() { position += 1 }

  private mutating func fill() throws {
    window.removeAll(keepingCapacity: true)
    position = 0
    guard let start = nextBlock, !skippedTables.contains(table) else {
      table += 1
      nextBlock = 0
      return
    }
    // Damage ends the table, so that a caller that goes on goes on with the next.
    nextBlock = nil
    let cursor = try Cursor(transaction, store.databases.tables[table], path: store.path)
    var readAhead = ReadAhead()
    var entry = try cursor.move(MDB_SET_RANGE, from: start, path: store.path)
    while let found = entry {
      guard found.key <= store.geometry.lastBlock else {
        throw ChanterError(
          .corrupt,
          "table \(store.layout.tables[table].name) has a block with the impossible number"
            + " \(found.key); " + restoreAdvice, path: store.path)
      }
      if window.count == Self.windowBlocks {
        nextBlock = found.key
        break
      }
      window.append((RowKey(table: table, row: UInt32(found.key)), found.value))
      readAhead.add(UInt(bitPattern: found.value.baseAddress), count: found.value.count)
      entry = try cursor.move(MDB_NEXT, path: store.path)
    }
    readAhead.flush()
  }
}
