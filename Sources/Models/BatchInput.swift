/// One batch as a model sees it: flat arrays and the rows it uses, already in memory.
///
/// The pointers stay the caller's and must be valid for the call. Nothing in here is checked again: whoever reads a
/// batch from a file checks that the offsets ascend, that each entry of `inverse` lies in its table's range, and that
/// each slot lies in the row storage.
public struct BatchInput {
  /// Samples in this batch; a last batch may have fewer than the model's maximum.
  public var sampleCount: Int
  /// `[sampleCount × denseCount]`, row-major.
  public var dense: UnsafePointer<Float>
  /// `[sampleCount]`, 0 or 1. Needed to train; prediction does not look.
  public var labels: UnsafePointer<Float>?
  /// `[sampleCount]`: how much each sample counts in the loss; nil means 1 each.
  public var weights: UnsafePointer<Float>?
  /// Distinct rows over all tables.
  public var uniqueCount: Int
  /// `[tables + 1]`: the unique positions of table t are `tableOffsets[t] ..< tableOffsets[t + 1]`.
  public var tableOffsets: UnsafePointer<UInt32>
  /// `[features + 1]`: the entries of feature f are `entryOffsets[f] ..< entryOffsets[f + 1]` of `inverse`. A feature
  /// with one value has an entry for each sample, in sample order; a bag has any number.
  public var entryOffsets: UnsafePointer<UInt32>
  /// `[entries]`: the unique position that an entry uses, counted over all tables.
  public var inverse: UnsafePointer<UInt32>
  /// `[bags × (sampleCount + 1)]`: sample i of bag k of feature f has the entries from
  /// `entryOffsets[f] + bagOffsets[k * (sampleCount + 1) + i]` to that of i + 1. Not read where no feature is a bag.
  public var bagOffsets: UnsafePointer<UInt32>?
  /// Base of the row storage. A row is its weights, then its optimizer state.
  public var rows: UnsafeMutablePointer<Float>
  /// Floats from one row to the next: weights + state floats, or more.
  public var rowFloats: Int
  /// `[uniqueCount]`: the row of unique position p starts at `rows + slots[p] * rowFloats`.
  public var slots: UnsafePointer<UInt32>

  public init(
    sampleCount: Int, dense: UnsafePointer<Float>, labels: UnsafePointer<Float>?,
    weights: UnsafePointer<Float>?, uniqueCount: Int, tableOffsets: UnsafePointer<UInt32>,
    entryOffsets: UnsafePointer<UInt32>, inverse: UnsafePointer<UInt32>, bagOffsets: UnsafePointer<UInt32>?,
    rows: UnsafeMutablePointer<Float>, rowFloats: Int, slots: UnsafePointer<UInt32>
  ) {
    self.sampleCount = sampleCount
    self.dense = dense
    self.labels = labels
    self.weights = weights
    self.uniqueCount = uniqueCount
    self.tableOffsets = tableOffsets
    self.entryOffsets = entryOffsets
    self.inverse = inverse
    self.bagOffsets = bagOffsets
    self.rows = rows
    self.rowFloats = rowFloats
    self.slots = slots
  }
}
