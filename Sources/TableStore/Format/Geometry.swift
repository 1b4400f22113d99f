import Primitives

/// How rows of one size are packed into blocks and chunks.
struct Geometry: Sendable {
  let rowBytes: Int
  let rowFloats: Int
  let rowsPerBlock: Int
  /// Bytes of a block's value: with LMDB's 16-byte page header, exactly `pagesPerBlock` pages of 4,096 bytes.
  let blockBytes: Int
  let pagesPerBlock: Int
  /// A full chunk takes as many pages as a block. Longer chunks would need longer runs of free pages than blocks leave
  /// behind, and the file would grow by the chunks of one commit after another.
  let rowsPerChunk: Int

  static let pageBytes = 4096
  /// What LMDB keeps for itself at the start of the page, or run of pages, that holds one large value.
  static let pageHeaderBytes = 16
  /// Rows of more bytes than this go four pages to a block, or too much of each page would stay empty.
  private static let largestOnePageRow = 400
  private static let pagesOfWideBlock = 4

  static var largestRowBytes: Int { pagesOfWideBlock * pageBytes - pageHeaderBytes - Seal.byteCount }

  init(rowBytes: Int) {
    self.rowBytes = rowBytes
    rowFloats = rowBytes / 4
    pagesPerBlock = rowBytes > Self.largestOnePageRow ? Self.pagesOfWideBlock : 1
    blockBytes = pagesPerBlock * Self.pageBytes - Self.pageHeaderBytes
    rowsPerBlock = (blockBytes - Seal.byteCount) / rowBytes
    // The widest rows leave no room for a chunk's header: one of them takes a page more.
    rowsPerChunk = max(1, (blockBytes - Chunk.headerBytes) / (8 + rowBytes))
  }

  /// The block that holds the row, named as (table, block number).
  @inline(__always)
  func block(of key: RowKey) -> RowKey {
    RowKey(table: key.table, row: key.row / UInt32(truncatingIfNeeded: rowsPerBlock))
  }

  /// Where the row starts inside its block.
  @inline(__always)
  func offset(of key: RowKey) -> Int {
    Seal.byteCount + Int(key.row % UInt32(truncatingIfNeeded: rowsPerBlock)) * rowBytes
  }

  /// The rows of a block, cut where row numbers end.
  func rows(of block: RowKey) -> ClosedRange<UInt32> {
    let first = UInt64(block.row) * UInt64(rowsPerBlock)
    let last = min(first + UInt64(rowsPerBlock) - 1, UInt64(UInt32.max))
    return UInt32(truncatingIfNeeded: first)...UInt32(truncatingIfNeeded: last)
  }

  /// The highest block number that has a row.
  var lastBlock: UInt64 { UInt64(UInt32.max) / UInt64(rowsPerBlock) }
}
