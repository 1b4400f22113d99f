public import Primitives
public import TableStore

/// Where rows come from that are in neither the cache nor the overlay.
public protocol RowSource {
  /// Writes the value of each row to its slot: the stored one, else the initial one.
  ///
  /// - Parameters:
  ///   - keys: `count` distinct rows, ascending.
  ///   - slots: row `keys[i]` goes to `rows + slots[i] * rowFloats`.
  /// - Returns: the number of distinct blocks looked up.
  func fetch(
    keys: UnsafePointer<RowKey>, count: Int, slots: UnsafePointer<UInt32>, rows: UnsafeMutablePointer<Float>
  ) throws -> Int
}

extension RowFetcher: RowSource {}
extension Snapshot: RowSource {}
