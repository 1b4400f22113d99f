import Primitives
import TableStore

/// A set of blocks of a model's tables, one bit a declared block: 2 bytes for about a thousand rows of 68 bytes.
struct BlockSet {
  /// First bit of each table.
  private let starts: [Int]
  private let rowsPerBlock: Int
  private let words: AlignedBuffer<UInt64>
  private(set) var count = 0

  init(_ layout: RowLayout) {
    rowsPerBlock = layout.rowsPerBlock
    starts = Self.starts(layout)
    words = AlignedBuffer(count: Self.wordCount(layout))
  }

  static func bytes(_ layout: RowLayout) -> Int { max(64, wordCount(layout) * 8) }

  private static func starts(_ layout: RowLayout) -> [Int] {
    let perBlock = layout.rowsPerBlock
    return layout.tables.reduce(into: [0]) {
      $0.append(($0.last ?? 0) + (Int($1.rows) + perBlock - 1) / perBlock)
    }
  }

  private static func wordCount(_ layout: RowLayout) -> Int { ((starts(layout).last ?? 0) + 63) / 64 }

  /// Adds the block of a row, which must be a declared one.
  mutating func insert(_ key: RowKey) {
    let bit = starts[key.table] + Int(key.row) / rowsPerBlock
    let mask: UInt64 = 1 << UInt64(bit & 63)
    let word = words[bit >> 6]
    if word & mask != 0 { return }
    words.base[bit >> 6] = word | mask
    count += 1
  }

  mutating func removeAll() {
    words.prefix().update(repeating: 0)
    count = 0
  }
}
