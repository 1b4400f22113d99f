import Primitives

/// Finds the unique rows of samples and where each entry uses them.
///
/// One radix sort a table: linear time, no hashing, ascending rows for free. Holds scratch memory for the entries of one
/// table.
public final class BatchBuilder {
  private let features: [SampleShape.Feature]
  /// Number of each feature among the bags; -1 for a single-valued one.
  private let bagNumbers: [Int]
  /// The features of each table.
  private let byTable: [[Int]]
  private let keys = GrowableBuffer<RowKey>()
  private let order = GrowableBuffer<UInt32>()
  private let scratch = GrowableBuffer<UInt32>()

  public init(shape: SampleShape) {
    features = shape.features
    var bags = 0
    bagNumbers = shape.features.map { feature in
      if !feature.isBag { return -1 }
      defer { bags += 1 }
      return bags
    }
    var byTable = [[Int]](repeating: [], count: shape.tableCount)
    for (number, feature) in shape.features.enumerated() { byTable[feature.table].append(number) }
    self.byTable = byTable
  }

  /// A layout that holds whatever `capacity` samples with at most `bagEntries` entries in their bags may contain.
  public static func layout(shape: SampleShape, capacity: Int, bagEntries: Int = 0) -> BatchLayout {
    let entries = shape.singleCount * capacity + bagEntries
    return BatchLayout(
      shape: shape, maximumSamples: capacity, maximumUniqueRows: entries, maximumEntries: entries)
  }

  /// Scratch memory for that layout, old and new memory while it grows included.
  static func bytes(of layout: BatchLayout) -> Int {
    let largest =
      layout.bagCount > 0
      ? layout.maximumEntries
      : layout.maximumSamples
        * (Dictionary(grouping: layout.features, by: \.table).map(\.value.count).max() ?? 0)
    return 3 * 16 * largest
  }

  /// Fills all of `batch` but the hints, which become 0: never used again, not first touched.
  public func build(_ samples: SampleBatch, index: Int, into batch: Batch) {
    let count = samples.sampleCount
    precondition(
      samples.shape.features == features && samples.shape == batch.layout.shape
        && count <= batch.layout.maximumSamples && samples.entryCount <= batch.layout.maximumEntries,
      "the samples do not fit the batch")
    placeEntries(samples, batch)
    var unique = 0
    batch.tableOffsets.base[0] = 0
    for table in byTable.indices {
      unique = findUnique(table, samples, first: unique, batch)
      batch.tableOffsets.base[table + 1] = UInt32(unique)
    }
    batch.dense.base.update(from: samples.dense.base, count: count * samples.denseCount)
    batch.labels.base.update(from: samples.labels.base, count: count)
    batch.weights.base.update(from: samples.weights.base, count: count)
    if samples.shape.hasTimes { batch.times.base.update(from: samples.times.base, count: count) }
    batch.nextUse.base.update(repeating: 0, count: unique)
    batch.firstTouch.base.update(repeating: 0, count: unique)
    batch.index = index
    batch.sampleCount = count
    batch.uniqueCount = unique
  }

  /// Sets the offsets of entries and bags.
  private func placeEntries(_ samples: SampleBatch, _ batch: Batch) {
    let count = samples.sampleCount
    var entries = 0
    batch.entryOffsets.base[0] = 0
    for feature in features.indices {
      let bag = bagNumbers[feature]
      if bag >= 0 {
        (batch.bagOffsets.base + bag * (count + 1)).update(
          from: samples.bags[bag].offsets.base, count: count + 1)
        entries += samples.bags[bag].entryCount(of: count)
      } else {
        entries += count
      }
      batch.entryOffsets.base[feature + 1] = UInt32(entries)
    }
  }

  /// Writes the unique rows of one table from position `first` on, and the inverse of its features.
  /// - Returns: the position behind the last.
  private func findUnique(_ table: Int, _ samples: SampleBatch, first: Int, _ batch: Batch) -> Int {
    let offsets = batch.entryOffsets.base
    keys.removeAll()
    for feature in byTable[table] {
      let entries = Int(offsets[feature + 1] - offsets[feature])
      let bag = bagNumbers[feature]
      let rows = bag >= 0 ? samples.bags[bag].rows : samples.rows.base + feature * samples.capacity
      let target = keys.extend(by: entries)
      for entry in 0..<entries { target[entry] = RowKey(table: table, row: rows[entry]) }
    }
    let count = keys.count
    let keys = keys.base
    order.removeAll()
    scratch.removeAll()
    let order = order.extend(by: count)
    let positions = scratch.extend(by: count)
    RadixSort.sort(keys: keys, count: count, order: order, scratch: positions)
    let limit = batch.layout.maximumUniqueRows
    let target = batch.keys.base
    var unique = first
    var previous = RowKey.max
    for place in 0..<count {
      let entry = Int(order[place])
      let key = keys[entry]
      if key != previous {
        precondition(unique < limit, "the batch has no room for its unique rows")
        target[unique] = key
        unique += 1
        previous = key
      }
      positions[entry] = UInt32(truncatingIfNeeded: unique - 1)
    }
    var start = 0
    for feature in byTable[table] {
      let entries = Int(offsets[feature + 1] - offsets[feature])
      (batch.inverse.base + Int(offsets[feature])).update(from: positions + start, count: entries)
      start += entries
    }
    return unique
  }
}
