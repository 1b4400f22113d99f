import CLMDB
import Primitives

extension Snapshot {
  /// Blocks that one transaction of the copy writes: few enough to hold in memory, enough for long sequential writes.
  public static let copyGroupBlocks = 4096

  /// Writes this state as a model of its own into `directory`, which exists and holds no model: every row in its block,
  /// blocks in key order without gaps, no chunks.
  ///
  /// Everything is checked on its way, so a copy that succeeds is sound. Until the end `directory` holds no model that
  /// opens. Memory: `MemoryCosts.copyBytes`, whatever the size of the model.
  /// - Parameters:
  ///   - groupBlocks: blocks of one transaction.
  ///   - progress: called now and then with the blocks written.
  /// - Returns: blocks written.
  /// - Throws: `.corrupt` for the first damage of the source, `.io` when there is no space.
  public func copy(
    to directory: String, groupBlocks: Int = copyGroupBlocks, progress: (Int) -> Void = { _ in }
  ) throws -> Int {
    let dense = AlignedBuffer<UInt8>(count: state.denseBytes)
    try readDense(into: UnsafeMutableRawBufferPointer(dense.prefix()))
    let target = try Environment(path: directory, readOnly: false)
    let databases = try target.write { try Databases(making: store.layout, in: $0) }
    let blockBytes = store.geometry.blockBytes
    let group = AlignedBuffer<UInt8>(count: groupBlocks * blockBytes)
    let numbers = AlignedBuffer<RowKey>(count: groupBlocks)
    var held = 0
    var written = 0
    func flush() throws {
      try target.write { transaction in
        for index in 0..<held {
          let block = numbers.base[index]
          try transaction.put(
            databases.tables[block.table], UInt64(block.row),
            UnsafeRawBufferPointer(start: group.base + index * blockBytes, count: blockBytes), appends: true,
            "copy block \(block.row) of table \(store.layout.tables[block.table].name)")
        }
      }
      written += held
      held = 0
      progress(written)
    }
    try forEachStoredBlock { block, bytes in
      Seal.close(bytes, .block(block))
      numbers.base[held] = block
      UnsafeMutableRawBufferPointer(start: group.base + held * blockBytes, count: blockBytes)
        .copyMemory(from: UnsafeRawBufferPointer(bytes))
      held += 1
      if held == groupBlocks { try flush() }
    }
    try flush()
    try target.write { transaction in
      try ModelStore.putHeader(store.layout, header: store.header, databases, transaction)
      try ModelStore.putState(
        state, dense: dense.rawBytes, store.geometry, databases, target, transaction)
    }
    return written
  }
}
