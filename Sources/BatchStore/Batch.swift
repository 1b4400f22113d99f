public import Primitives

/// The two parts of a dataset. Each is a trace of its own, with its own next uses.
///
/// The raw values name files and reach the disk: do not rename.
public enum Split: String, CaseIterable, Codable, Sendable {
  case train, holdout

  /// The number of the split in file headers. Do not renumber.
  var code: UInt32 { self == .train ? 0 : 1 }
}

/// The most that any batch of a trace holds: what a reusable `Batch` must have room for.
public struct BatchLayout: Equatable, Sendable {
  public let tableCount: Int
  public let denseCount: Int
  /// Samples of a full batch.
  public let maximumSamples: Int
  /// Unique (table, row) pairs of the richest batch.
  public let maximumUniqueRows: Int

  public init(tableCount: Int, denseCount: Int, maximumSamples: Int, maximumUniqueRows: Int) {
    precondition(tableCount >= 0 && denseCount >= 0 && maximumSamples >= 0 && maximumUniqueRows >= 0)
    self.tableCount = tableCount
    self.denseCount = denseCount
    self.maximumSamples = maximumSamples
    self.maximumUniqueRows = maximumUniqueRows
  }

  /// Exactly the bytes that one `Batch` of this layout allocates for its contents.
  public var bytes: Int {
    func buffer(_ count: Int, _ stride: Int) -> Int { max(64, count * stride) }
    return buffer(tableCount + 1, 4) + buffer(maximumUniqueRows, 8) + buffer(maximumUniqueRows, 2)
      + buffer(maximumUniqueRows, 1) + buffer(tableCount * maximumSamples, 4)
      + buffer(maximumSamples * denseCount, 4) + buffer(maximumSamples, 4)
  }
}

/// One decoded batch; a reusable target whose memory is allocated once.
///
/// Shapes below use the counts of this batch, not the maxima of the layout: a short last batch is packed from the
/// start of every buffer.
///
/// Unchecked `Sendable`: one stage owns a batch at any moment and hands it on through a channel.
public final class Batch: @unchecked Sendable {
  public let layout: BatchLayout
  /// Number of the batch in its split, from 0.
  public internal(set) var index = 0
  public internal(set) var sampleCount = 0
  /// Unique (table, row) pairs of this batch.
  public internal(set) var uniqueCount = 0
  /// `[tables + 1]`: the unique rows of table t are at `tableOffsets[t] ..< tableOffsets[t + 1]`.
  public let tableOffsets: AlignedBuffer<UInt32>
  /// `[uniqueCount]`, ascending by (table, row).
  public let keys: AlignedBuffer<RowKey>
  /// `[uniqueCount]`: distance to the next batch that reads the row, as `NextUse` codes it. A hint: a wrong value
  /// costs speed, never correctness.
  public let nextUse: AlignedBuffer<UInt16>
  /// `[uniqueCount]`: 1 if no earlier batch of the split used the row. Unlike the next use no hint: in the first epoch of a
  /// new model it stands for a read. It follows from the batches before, which the dataset's identity covers.
  public let firstTouch: AlignedBuffer<UInt8>
  /// `[tables x sampleCount]`: position in `keys` of the row that sample i uses of table t, at
  /// `t * sampleCount + i`.
  public let inverse: AlignedBuffer<UInt32>
  /// `[sampleCount x denseCount]`, row-major.
  public let dense: AlignedBuffer<Float>
  /// `[sampleCount]`, 0 or 1.
  public let labels: AlignedBuffer<Float>

  public init(layout: BatchLayout) {
    self.layout = layout
    tableOffsets = AlignedBuffer(count: layout.tableCount + 1)
    keys = AlignedBuffer(count: layout.maximumUniqueRows)
    nextUse = AlignedBuffer(count: layout.maximumUniqueRows)
    firstTouch = AlignedBuffer(count: layout.maximumUniqueRows)
    inverse = AlignedBuffer(count: layout.tableCount * layout.maximumSamples)
    dense = AlignedBuffer(count: layout.maximumSamples * layout.denseCount)
    labels = AlignedBuffer(count: layout.maximumSamples)
  }
}
