public import Primitives

/// One committed state of a model, to evaluate, predict, digest or copy; later commits do not show in it.
///
/// While it lives, no page of its state is reused, so the file of a model in training grows meanwhile. Used by one
/// thread at a time.
public final class Snapshot {
  public let state: CommitState
  /// Batches trained.
  public var cursor: UInt64 { state.cursor }
  let store: ModelStore
  let transaction: ReadTransaction
  private let chunks: ChunkIndex
  // Made for the largest request so far: the block reader, and the keys and slots that no chunk has.
  private var blocks: BlockReader?
  private var remainingKeys = AlignedBuffer<RowKey>(count: 0)
  private var remainingSlots = AlignedBuffer<UInt32>(count: 0)

  /// Opens the last commit.
  public init(_ store: ModelStore) throws {
    self.store = store
    let transaction = try ReadTransaction(store.environment)
    state = try StateRecord.read(
      transaction.get(store.databases.meta, Record.state.key), path: store.path)
    try DenseParts(store.geometry).requireAll(state, store.databases, transaction)
    chunks = try ChunkIndex(store, transaction)
    self.transaction = transaction
  }

  /// Copies the dense record to `dense`, which must have exactly `state.denseBytes` bytes.
  public func readDense(into dense: UnsafeMutableRawBufferPointer) throws {
    _ = try ModelStore.readState(dense: dense, store.geometry, store.databases, transaction)
  }

  /// Copies the row of `keys[i]` to `rows + slots[i] * rowFloats` for i in 0 ..< count: its newest committed value,
  /// else its initial value. `keys` ascend.
  ///
  /// Holds `MemoryCosts.readerBytes` for the largest request so far.
  /// - Returns: distinct blocks that the rows belong to, looked up or not: a function of the keys alone.
  public func fetch(
    keys: UnsafePointer<RowKey>, count: Int, slots: UnsafePointer<UInt32>, rows: UnsafeMutablePointer<Float>
  ) throws -> Int {
    let blocks = try reader(atLeast: count)
    if chunks.isEmpty { return try blocks.fetch(keys: keys, count: count, slots: slots, rows: rows) }
    let remainingKeys = remainingKeys.base
    let remainingSlots = remainingSlots.base
    let geometry = store.geometry
    var remaining = 0
    var blockCount = 0
    var previous = RowKey.max
    for index in 0..<count {
      let block = geometry.block(of: keys[index])
      if block != previous { blockCount += 1 }
      previous = block
      if let row = try chunks.find(keys[index]) {
        UnsafeMutableRawPointer(rows + Int(slots[index]) * geometry.rowFloats)
          .copyMemory(from: row, byteCount: geometry.rowBytes)
      } else {
        remainingKeys[remaining] = keys[index]
        remainingSlots[remaining] = slots[index]
        remaining += 1
      }
    }
    _ = try blocks.fetch(keys: remainingKeys, count: remaining, slots: remainingSlots, rows: rows)
    return blockCount
  }

  private func reader(atLeast count: Int) throws -> BlockReader {
    if let blocks, blocks.capacity >= count { return blocks }
    remainingKeys = AlignedBuffer(count: count)
    remainingSlots = AlignedBuffer(count: count)
    let made = try BlockReader(store, transaction, maximumRows: count, directAbove: store.directAbove)
    blocks = made
    return made
  }
}
