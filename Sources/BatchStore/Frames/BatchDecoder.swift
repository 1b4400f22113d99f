package import Primitives

/// Reads the raw form of a batch back, checking every count and every index before it is used. Visible to tests, which
/// feed it what no checksum would let through.
package struct BatchDecoder {
  /// Declared rows of each table: no row of a batch may reach them.
  private let rows: [UInt32]
  private let shape: SampleShape
  private let precision: DensePrecision
  /// Deltas of one table, or lengths of one bag.
  private let scratch: AlignedBuffer<UInt32>

  package init(tables: [TableLayout], layout: BatchLayout, precision: DensePrecision) {
    rows = tables.map(\.rows)
    shape = layout.shape
    self.precision = precision
    scratch = AlignedBuffer(count: Self.scratchCount(layout))
  }

  private static func scratchCount(_ layout: BatchLayout) -> Int {
    max(layout.maximumUniqueRows, layout.bagCount > 0 ? layout.maximumSamples : 0)
  }

  static func bytes(of layout: BatchLayout) -> Int { max(64, 4 * scratchCount(layout)) }

  /// Unique rows and entries that the headers of a batch tell.
  static func counts(
    _ raw: UnsafeRawBufferPointer, _ shape: SampleShape, samples: Int, path: String
  ) throws -> (unique: Int, entries: Int) {
    var headers = ByteCursor(raw, path: path, origin: 0)
    var unique = 0
    for _ in 0..<shape.tableCount {
      unique += Int(try headers.integer(UInt32.self))
      _ = try headers.integer(UInt8.self)
    }
    var entries = 0
    for feature in shape.features {
      entries += feature.isBag ? Int(try headers.integer(UInt32.self)) : samples
      _ = try headers.take(feature.isBag ? 2 : 1)
    }
    guard unique <= entries, entries <= Manifest.maximumEntries else {
      throw headers.corrupt("the batch has impossible counts")
    }
    return (unique, entries)
  }

  /// Fills `batch` from `raw`. `batch` has room for `sampleCount` samples and `uniqueCount` unique rows; after an
  /// error its contents mean nothing.
  package func decode(
    _ raw: UnsafeRawBufferPointer, sampleCount: Int, uniqueCount: Int, into batch: Batch, path: String,
    offset: Int
  ) throws {
    var cursor = ByteCursor(raw, path: path, origin: offset)
    var headers = ByteCursor(raw, path: path, origin: offset)
    _ = try cursor.take(FrameShape.headerBytes(shape) - FrameShape.codecBytes)
    let codec = try cursor.take(FrameShape.codecBytes).assumingMemoryBound(to: UInt8.self)
    guard codec[0] == precision.code else {
      throw ChanterError(
        .corrupt, "dense columns are stored with codec \(codec[0]), the manifest says \(precision.rawValue)",
        path: path, offset: offset)
    }
    guard codec[1] == (shape.hasWeights ? FrameShape.hasWeights : 0), codec[2] == 0, codec[3] == 0 else {
      throw cursor.corrupt("the flags of the batch do not fit its dataset")
    }
    try decodeLabels(&cursor, sampleCount, batch)
    try decodeDense(&cursor, sampleCount, batch)
    batch.tableOffsets.base[0] = 0
    var start = 0
    for table in rows.indices {
      let count = Int(try headers.integer(UInt32.self))
      let planes = Int(try headers.integer(UInt8.self))
      guard count <= uniqueCount - start, planes <= 4 else {
        throw cursor.corrupt("table \(table) of the batch has impossible counts")
      }
      try decodeRows(&cursor, table: table, start: start, count: count, planes: planes, batch)
      start += count
      batch.tableOffsets.base[table + 1] = UInt32(start)
    }
    guard start == uniqueCount else { throw cursor.corrupt("the unique rows do not add up") }
    batch.entryOffsets.base[0] = 0
    var entry = 0
    var bag = 0
    for number in shape.features.indices {
      let isBag = shape.features[number].isBag
      let entries = isBag ? Int(try headers.integer(UInt32.self)) : sampleCount
      let planes = Int(try headers.integer(UInt8.self))
      guard entries <= batch.layout.maximumEntries - entry, planes <= 4 else {
        throw cursor.corrupt("feature \(number) of the batch has impossible counts")
      }
      if isBag {
        let lengthPlanes = Int(try headers.integer(UInt8.self))
        try decodeLengths(
          &cursor, feature: number, bag: bag, entries: entries, planes: lengthPlanes, sampleCount, batch)
        bag += 1
      }
      try decodeInverse(&cursor, feature: number, start: entry, count: entries, planes: planes, batch)
      entry += entries
      batch.entryOffsets.base[number + 1] = UInt32(entry)
    }
    try decodeHints(&cursor, uniqueCount, batch)
    guard cursor.remaining == 0 else { throw cursor.corrupt("the batch is followed by unknown bytes") }
    batch.sampleCount = sampleCount
    batch.uniqueCount = uniqueCount
  }

  private func decodeLabels(_ cursor: inout ByteCursor, _ samples: Int, _ batch: Batch) throws {
    let bits = try cursor.take(FrameShape.bitBytes(samples)).assumingMemoryBound(to: UInt8.self)
    let labels = batch.labels.base
    for sample in 0..<samples { labels[sample] = Float((bits[sample >> 3] >> UInt8(sample & 7)) & 1) }
    let weights = batch.weights.base
    guard shape.hasWeights else {
      weights.update(repeating: 1, count: samples)
      return
    }
    BytePlanes.read(try cursor.take(4 * samples), rows: samples, columns: 1, into: weights)
    for sample in 0..<samples where !(weights[sample] > 0 && weights[sample] < .infinity) {
      throw cursor.corrupt("the weight of sample \(sample) is \(weights[sample])")
    }
  }

  private func decodeDense(_ cursor: inout ByteCursor, _ samples: Int, _ batch: Batch) throws {
    let columns = shape.denseCount
    let source = try cursor.take(precision.bytes * samples * columns)
    switch precision {
    case .fp32: BytePlanes.read(source, rows: samples, columns: columns, into: batch.dense.base)
    case .fp16: BytePlanes.readHalf(source, rows: samples, columns: columns, into: batch.dense.base)
    }
  }

  private func decodeRows(
    _ cursor: inout ByteCursor, table: Int, start: Int, count: Int, planes: Int, _ batch: Batch
  ) throws {
    let source = try cursor.take(planes * count)
    let delta = scratch.base
    _ = BytePlanes.read(source, planes: planes, count: count, plus: 0, into: delta)
    let keys = batch.keys.base + start
    let base = RowKey(table: table, row: 0)
    var row: UInt64 = 0
    var repeats = false
    for position in 0..<count {
      repeats = repeats || (position > 0 && delta[position] == 0)
      row &+= UInt64(delta[position])
      keys[position] = base &+ row
    }
    // Fewer than 2^32 deltas below 2^32: the sum cannot wrap, and it only grows, so the last row says it all.
    guard !repeats else { throw cursor.corrupt("the rows of table \(table) do not ascend") }
    guard count == 0 || row < UInt64(rows[table]) else {
      throw cursor.corrupt("row \(row) of table \(table), which has \(rows[table]) rows")
    }
  }

  private func decodeLengths(
    _ cursor: inout ByteCursor, feature: Int, bag: Int, entries: Int, planes: Int, _ samples: Int,
    _ batch: Batch
  ) throws {
    guard planes <= 4 else { throw cursor.corrupt("feature \(feature) of the batch has impossible counts") }
    let source = try cursor.take(planes * samples)
    let lengths = scratch.base
    _ = BytePlanes.read(source, planes: planes, count: samples, plus: 0, into: lengths)
    let offsets = batch.bagOffsets.base + bag * (samples + 1)
    var total: UInt64 = 0
    offsets[0] = 0
    for sample in 0..<samples {
      total &+= UInt64(lengths[sample])
      offsets[sample + 1] = UInt32(truncatingIfNeeded: total)
    }
    // At most 65,536 lengths below 2^32: the sum cannot wrap. It only grows, so no offset lies beyond the last.
    guard total == UInt64(entries) else {
      throw cursor.corrupt("the lengths of feature \(feature) do not add up")
    }
  }

  private func decodeInverse(
    _ cursor: inout ByteCursor, feature: Int, start: Int, count: Int, planes: Int, _ batch: Batch
  ) throws {
    let table = shape.features[feature].table
    let first = batch.tableOffsets.base[table]
    let unique = batch.tableOffsets.base[table + 1] - first
    let source = try cursor.take(planes * count)
    let largest = BytePlanes.read(
      source, planes: planes, count: count, plus: first, into: batch.inverse.base + start)
    guard count == 0 || largest < unique else {
      throw cursor.corrupt("an index of feature \(feature) is out of range")
    }
  }

  private func decodeHints(_ cursor: inout ByteCursor, _ count: Int, _ batch: Batch) throws {
    let planes = Int(try cursor.integer(UInt8.self))
    guard planes <= 2 else { throw cursor.corrupt("the next uses have an impossible width") }
    let bits = try cursor.take(FrameShape.bitBytes(count)).assumingMemoryBound(to: UInt8.self)
    let firstTouch = batch.firstTouch.base
    for position in 0..<count { firstTouch[position] = (bits[position >> 3] >> UInt8(position & 7)) & 1 }
    let source = try cursor.take(planes * count).assumingMemoryBound(to: UInt8.self)
    let nextUse = batch.nextUse.base
    switch planes {
    case 0: nextUse.update(repeating: 0, count: count)
    case 1: for position in 0..<count { nextUse[position] = UInt16(source[position]) }
    default:
      let high = source + count
      for position in 0..<count { nextUse[position] = UInt16(source[position]) | UInt16(high[position]) << 8 }
    }
  }
}
