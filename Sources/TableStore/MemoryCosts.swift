public import Primitives

/// Memory that LMDB holds on top of what this target's objects state themselves, so that a budget can count it.
///
/// LMDB copies every page that a write transaction changes. It keeps single pages for later transactions until the store is
/// closed, and frees longer runs at the end of the transaction. Index pages that change with the values are about
/// one in 60 at worst for values in key order; one in 32 is counted.
public enum MemoryCosts {
  /// Bytes an open store holds: LMDB's list of dirty pages (131,072 entries of 16 bytes) and its list of free pages.
  public static let openStoreBytes = 4 << 20

  /// Bytes that a fetcher holds for requests of so many rows.
  public static func fetcherBytes(rows: Int) -> Int { 12 * rows + DirectReads.memoryBytes }

  /// Bytes that a snapshot holds for requests of so many rows, beside those for its chunks.
  public static func readerBytes(rows: Int) -> Int { fetcherBytes(rows: rows) + 12 * rows }

  /// Dirty pages of one transaction, or runs of them, that are still cheap: past 131,071 LMDB writes some early and reads
  /// them again.
  private static let mostRuns = 100_000

  /// The most rows of one commit whose pages LMDB keeps in memory to its end.
  public static func mostCommitRows(layout: RowLayout, denseBytes: Int) -> Int {
    let geometry = Geometry(rowBytes: layout.rowBytes)
    return max(1, mostRuns - DenseParts(geometry).count(denseBytes)) * geometry.rowsPerChunk
  }

  /// Bytes at the peak of a commit of `rows` rows: whole pages for every chunk and every part of the dense record.
  public static func commitBytes(rows: Int, layout: RowLayout, denseBytes: Int) -> Int {
    let geometry = Geometry(rowBytes: layout.rowBytes)
    let full = rows / geometry.rowsPerChunk
    let rest = rows % geometry.rowsPerChunk
    var pages = full * self.pages(Chunk.byteCount(rows: geometry.rowsPerChunk, geometry))
    if rest > 0 { pages += self.pages(Chunk.byteCount(rows: rest, geometry)) }
    pages += DenseParts(geometry).count(denseBytes) * geometry.pagesPerBlock
    return withIndex(pages)
  }

  /// Bytes at the peak of a compaction step of `blocks` blocks; most of them stay with LMDB for the next step.
  public static func compactionBytes(blocks: Int, layout: RowLayout) -> Int {
    withIndex(blocks * Geometry(rowBytes: layout.rowBytes).pagesPerBlock)
  }

  /// Bytes that a snapshot of a model in training holds for its chunks, where a commit has at most so many rows.
  public static func snapshotBytes(rows: Int, layout: RowLayout) -> Int {
    let geometry = Geometry(rowBytes: layout.rowBytes)
    // Two compactions' worth of commits at the usual 16 each.
    return 32 * (rows / geometry.rowsPerChunk + 1) * ChunkIndex.memoryBytesPerChunk + 64 << 10
  }

  /// Bytes that copying a snapshot holds with so many blocks a transaction: the blocks, and the pages they are put in.
  public static func copyBytes(blocks: Int, layout: RowLayout) -> Int {
    blocks * (Geometry(rowBytes: layout.rowBytes).blockBytes + 8)
      + compactionBytes(blocks: blocks, layout: layout)
  }

  private static func pages(_ valueBytes: Int) -> Int {
    (valueBytes + Geometry.pageHeaderBytes + Geometry.pageBytes - 1) / Geometry.pageBytes
  }

  private static func withIndex(_ pages: Int) -> Int { (pages + pages / 32 + 64) * Geometry.pageBytes }
}
