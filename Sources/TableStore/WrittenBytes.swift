public import Primitives

/// Bytes of the values that commits and compactions put into the store, without LMDB's pages around them: what
/// `CommitResult.bytesWritten` and `Compaction.bytesWritten` will say, as functions of counts alone.
public enum WrittenBytes {
  /// A commit of `rows` rows with a dense record of `denseBytes` bytes: chunks, dense record, state record.
  public static func commit(rows: Int, denseBytes: Int, layout: RowLayout) -> Int {
    let geometry = Geometry(rowBytes: layout.rowBytes)
    let chunks = (rows + geometry.rowsPerChunk - 1) / geometry.rowsPerChunk
    return chunks * Chunk.headerBytes + rows * (8 + geometry.rowBytes)
      + DenseParts(geometry).byteCount(denseBytes)
      + StateRecord.byteCount
  }

  /// A compaction whose rows lie in so many distinct blocks.
  public static func compaction(blocks: Int, layout: RowLayout) -> Int {
    blocks * Geometry(rowBytes: layout.rowBytes).blockBytes
  }
}
