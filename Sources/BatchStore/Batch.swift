public import Primitives

/// The parts of a dataset. Each is a trace of its own, with its own next uses.
///
/// The raw values name files and reach the disk: do not rename.
public enum Split: String, CaseIterable, Codable, Sendable {
  /// What a model is trained on; vocabulary and statistics come from here alone.
  case train
  /// For decisions during training, such as when to stop.
  case valid
  /// For the final score.
  case holdout

  /// The number of the split in file headers. Do not renumber.
  var code: UInt32 {
    switch self {
    case .train: 0
    case .holdout: 1
    case .valid: 2
    }
  }
}

/// The most that any batch of a trace holds: what a reusable `Batch` must have room for.
public struct BatchLayout: Equatable, Sendable {
  public let shape: SampleShape
  /// Samples of a full batch.
  public let maximumSamples: Int
  /// Unique (table, row) pairs of the richest batch.
  public let maximumUniqueRows: Int
  /// Entries of all features of the richest batch.
  public let maximumEntries: Int

  public init(shape: SampleShape, maximumSamples: Int, maximumUniqueRows: Int, maximumEntries: Int) {
    precondition(maximumSamples >= 0 && maximumUniqueRows >= 0 && maximumEntries >= 0)
    self.shape = shape
    self.maximumSamples = maximumSamples
    self.maximumUniqueRows = maximumUniqueRows
    self.maximumEntries = maximumEntries
  }

  /// One single-valued feature a table.
  public init(tableCount: Int, denseCount: Int, maximumSamples: Int, maximumUniqueRows: Int) {
    self.init(
      shape: SampleShape(tableCount: tableCount, denseCount: denseCount), maximumSamples: maximumSamples,
      maximumUniqueRows: maximumUniqueRows, maximumEntries: tableCount * maximumSamples)
  }

  public var tableCount: Int { shape.tableCount }
  public var features: [SampleShape.Feature] { shape.features }
  public var featureCount: Int { shape.featureCount }
  public var bagCount: Int { shape.bagCount }
  public var denseCount: Int { shape.denseCount }

  /// Exactly the bytes that one `Batch` of this layout allocates for its contents.
  public var bytes: Int {
    func buffer(_ count: Int, _ stride: Int) -> Int { max(64, count * stride) }
    return buffer(tableCount + 1, 4) + buffer(maximumUniqueRows, 8) + buffer(maximumUniqueRows, 2)
      + buffer(maximumUniqueRows, 1) + buffer(featureCount + 1, 4) + buffer(maximumEntries, 4)
      + buffer(bagCount * (maximumSamples + 1), 4) + buffer(maximumSamples * denseCount, 4)
      + 2 * buffer(maximumSamples, 4) + buffer(shape.hasTimes ? maximumSamples : 0, 8)
  }

  /// Whether a batch of this layout holds whatever one of `other` holds.
  func holds(_ other: BatchLayout) -> Bool {
    shape == other.shape && maximumSamples >= other.maximumSamples
      && maximumUniqueRows >= other.maximumUniqueRows && maximumEntries >= other.maximumEntries
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
  /// `[features + 1]`: the entries of feature f are `inverse[entryOffsets[f] ..< entryOffsets[f + 1]]`. A single-valued
  /// feature has one for each sample, in sample order.
  public let entryOffsets: AlignedBuffer<UInt32>
  /// `[entries]`: position in `keys` of the row that the entry uses, which belongs to the table of its feature.
  public let inverse: AlignedBuffer<UInt32>
  /// `[bags x (sampleCount + 1)]`: of the k-th bag feature, f, sample i has the entries `entryOffsets[f] + o[i] ..<
  /// entryOffsets[f] + o[i + 1]`, where o starts at `k * (sampleCount + 1)`.
  public let bagOffsets: AlignedBuffer<UInt32>
  /// `[sampleCount x denseCount]`, row-major.
  public let dense: AlignedBuffer<Float>
  /// `[sampleCount]`, 0 or 1.
  public let labels: AlignedBuffer<Float>
  /// `[sampleCount]`, above 0; 1 where the dataset has no weights.
  public let weights: AlignedBuffer<Float>
  /// `[sampleCount]`, in the units of the schema's time column; empty where the dataset has no times.
  public let times: AlignedBuffer<Int64>

  public init(layout: BatchLayout) {
    self.layout = layout
    tableOffsets = AlignedBuffer(count: layout.tableCount + 1)
    keys = AlignedBuffer(count: layout.maximumUniqueRows)
    nextUse = AlignedBuffer(count: layout.maximumUniqueRows)
    firstTouch = AlignedBuffer(count: layout.maximumUniqueRows)
    entryOffsets = AlignedBuffer(count: layout.featureCount + 1)
    inverse = AlignedBuffer(count: layout.maximumEntries)
    bagOffsets = AlignedBuffer(count: layout.bagCount * (layout.maximumSamples + 1))
    dense = AlignedBuffer(count: layout.maximumSamples * layout.denseCount)
    labels = AlignedBuffer(count: layout.maximumSamples)
    weights = AlignedBuffer(count: layout.maximumSamples)
    times = AlignedBuffer(count: layout.shape.hasTimes ? layout.maximumSamples : 0)
  }

  /// Entries of all features.
  public var entryCount: Int { Int(entryOffsets.base[layout.featureCount]) }
}
