import Models
import Primitives
import TableStore

/// Puts rows into a new model, in commits of bounded size; their optimizer state is as it was initially.
final class WarmStartWriter {
  private(set) var rows = 0
  private let store: ModelStore
  private let capacity: Int
  private let compactionBlocks: Int
  private let keys: AlignedBuffer<RowKey>
  private let values: AlignedBuffer<Float>
  private let order: AlignedBuffer<UInt32>
  private let scratch: AlignedBuffer<UInt32>
  private let dense: AlignedBuffer<UInt8>
  private var count = 0
  private var commits = 0

  /// Compactions keep the chunks that a commit leaves few.
  private static let commitsPerCompaction = 16

  init(_ store: ModelStore, memory: Int) throws {
    self.store = store
    let layout = store.layout
    // Each row lies in the buffers and once more in the pages of its commit.
    capacity = min(1 << 18, max(1024, memory / 2 / (2 * layout.rowBytes + 32)))
    let perBlock = MemoryCosts.compactionBytes(blocks: 1024, layout: layout) / 1024
    compactionBlocks = min(MemoryNeeds.mostCompactionBlocks, max(256, memory / 2 / perBlock))
    keys = AlignedBuffer(count: capacity)
    values = AlignedBuffer(count: capacity * layout.rowFloats)
    order = AlignedBuffer(count: capacity)
    scratch = AlignedBuffer(count: capacity)
    dense = AlignedBuffer(count: try store.readState().denseBytes)
    _ = try store.readState(dense: UnsafeMutableRawBufferPointer(dense.prefix()))
  }

  /// Buffers, and the pages of a commit and of a compaction.
  var memoryBytes: Int {
    let layout = store.layout
    return keys.byteCount + values.byteCount + order.byteCount + scratch.byteCount + dense.byteCount
      + MemoryCosts.commitBytes(rows: capacity, layout: layout, denseBytes: dense.byteCount)
      + MemoryCosts.compactionBytes(blocks: compactionBlocks, layout: layout)
  }

  /// - Parameter weights: as many as the layout's dimension.
  func append(_ key: RowKey, _ weights: UnsafePointer<Float>) throws {
    if count == capacity { try commit() }
    let layout = store.layout
    keys.base[count] = key
    let row = values.base + count * layout.rowFloats
    layout.fillInitial(table: key.table, row: key.row, into: row)
    row.update(from: weights, count: layout.dimension)
    count += 1
    rows += 1
  }

  private func commit() throws {
    RadixSort.sort(keys: keys.base, count: count, order: order.base, scratch: scratch.base)
    _ = try store.commit(
      keys: keys.base, order: order.base, count: count, rows: values.base, dense: dense.rawBytes, cursor: 0)
    count = 0
    commits += 1
    if commits % Self.commitsPerCompaction == 0 {
      _ = try store.compactAll(maximumBlocks: compactionBlocks, stop: StopSignal())
    }
  }

  /// Leaves every row in its block.
  func finish() throws {
    try commit()
    _ = try store.compactAll(maximumBlocks: compactionBlocks, stop: StopSignal())
  }
}
