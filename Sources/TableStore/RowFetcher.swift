public import Primitives

/// The prefetcher's way to read rows: from their blocks, else their initial values. It never looks in the chunks:
/// training compacts what is there when it opens a model, and keeps later changes in memory until they are compacted.
///
/// Used by one thread at a time. Each call sees the last commit and holds it only until it returns, so the file's
/// pages are reused while the fetcher waits.
public final class RowFetcher {
  private let store: ModelStore
  private let blocks: BlockReader
  private let transaction: ReadTransaction

  init(_ store: ModelStore, maximumRows: Int, directAbove: Int) throws {
    self.store = store
    let transaction = try ReadTransaction(store.environment)
    blocks = try BlockReader(store, transaction, maximumRows: maximumRows, directAbove: directAbove)
    transaction.reset()
    self.transaction = transaction
  }

  /// Copies the row of `keys[i]` to `rows + slots[i] * rowFloats` for i in 0 ..< count.
  ///
  /// Allocates nothing. Complexity: a lookup and a checksum for each distinct block, a copy for each row.
  /// - Parameter keys: ascending; at most `maximumRows` of them.
  /// - Returns: distinct blocks looked up, stored or not: a function of the keys alone.
  /// - Throws: `.corrupt` naming table and rows if a block is damaged.
  public func fetch(
    keys: UnsafePointer<RowKey>, count: Int, slots: UnsafePointer<UInt32>, rows: UnsafeMutablePointer<Float>
  ) throws -> Int {
    try transaction.renew()
    defer { transaction.reset() }
    try blocks.renew(transaction)
    return try blocks.fetch(keys: keys, count: count, slots: slots, rows: rows)
  }
}

extension ModelStore {
  /// - Parameters:
  ///   - maximumRows: most rows of one `fetch`; `MemoryCosts.fetcherBytes` says what the fetcher holds.
  ///   - directAbove: once the file has more bytes, it is read past the system's cache; by default twice the memory that this
  ///     process can have.
  public func makeFetcher(maximumRows: Int, directAbove: Int? = nil) throws -> RowFetcher {
    try RowFetcher(self, maximumRows: maximumRows, directAbove: directAbove ?? self.directAbove)
  }
}
