public import Primitives

/// Samples in the form in which they are made: a row number per table and sample, before duplicates are found.
///
/// Fill the buffers, set `sampleCount`, and give it to `BatchBuilder` or `DatasetWriter`.
public final class SampleBatch {
  public let tableCount: Int
  public let denseCount: Int
  /// Samples that fit.
  public let capacity: Int
  public var sampleCount = 0
  /// `[tables x capacity]`: the row that sample i uses of table t is at `t * capacity + i`.
  public let rows: AlignedBuffer<UInt32>
  /// `[sampleCount x denseCount]`, row-major.
  public let dense: AlignedBuffer<Float>
  /// `[sampleCount]`, 0 or 1.
  public let labels: AlignedBuffer<Float>

  public init(tableCount: Int, denseCount: Int, capacity: Int) {
    self.tableCount = tableCount
    self.denseCount = denseCount
    self.capacity = capacity
    rows = AlignedBuffer(count: tableCount * capacity)
    dense = AlignedBuffer(count: capacity * denseCount)
    labels = AlignedBuffer(count: capacity)
  }
}

/// Finds the unique rows of samples and where each sample uses them.
///
/// One radix sort a table: linear time, no hashing, ascending rows for free. Holds scratch memory for one column.
public final class BatchBuilder {
  private let keys: AlignedBuffer<RowKey>
  private let order: AlignedBuffer<UInt32>
  private let scratch: AlignedBuffer<UInt32>

  /// - Parameter capacity: the most samples that a batch will have.
  public init(capacity: Int) {
    keys = AlignedBuffer(count: capacity)
    order = AlignedBuffer(count: capacity)
    scratch = AlignedBuffer(count: capacity)
  }

  /// A layout that holds whatever `capacity` samples may contain.
  public static func layout(tableCount: Int, denseCount: Int, capacity: Int) -> BatchLayout {
    BatchLayout(
      tableCount: tableCount, denseCount: denseCount, maximumSamples: capacity,
      maximumUniqueRows: tableCount * capacity)
  }

  /// Fills all of `batch` but the hints, which become 0: never used again, not first touched.
  public func build(_ samples: SampleBatch, index: Int, into batch: Batch) {
    let count = samples.sampleCount
    let tables = samples.tableCount
    precondition(
      count <= keys.count && count <= batch.layout.maximumSamples && tables == batch.layout.tableCount
        && samples.denseCount == batch.layout.denseCount, "the samples do not fit the batch")
    let keys = keys.base
    let order = order.base
    let inverse = batch.inverse.base
    let offsets = batch.tableOffsets.base
    var unique = 0
    offsets[0] = 0
    for table in 0..<tables {
      let rows = samples.rows.base + table * samples.capacity
      let column = inverse + table * count
      for sample in 0..<count { keys[sample] = RowKey(table: table, row: rows[sample]) }
      RadixSort.sort(keys: keys, count: count, order: order, scratch: scratch.base)
      let limit = batch.layout.maximumUniqueRows
      let target = batch.keys.base
      var previous = RowKey.max
      for place in 0..<count {
        let sample = Int(order[place])
        let key = keys[sample]
        if key != previous {
          precondition(unique < limit, "the batch has no room for its unique rows")
          target[unique] = key
          unique += 1
          previous = key
        }
        column[sample] = UInt32(truncatingIfNeeded: unique - 1)
      }
      offsets[table + 1] = UInt32(unique)
    }
    batch.dense.base.update(from: samples.dense.base, count: count * samples.denseCount)
    batch.labels.base.update(from: samples.labels.base, count: count)
    batch.nextUse.base.update(repeating: 0, count: unique)
    batch.firstTouch.base.update(repeating: 0, count: unique)
    batch.index = index
    batch.sampleCount = count
    batch.uniqueCount = unique
  }
}
