package import Primitives

/// Reads the raw form of a batch back, checking every count and every index before it is used. Visible to tests, which
/// feed it what no checksum would let through.
package struct BatchDecoder {
  /// Declared rows of each table: no row of a batch may reach them.
  private let rows: [UInt32]
  private let shape: SampleShape
  private let precision: DensePrecision
  /// Rows of one table, lengths of one bag, halves of times, or next uses.
  private let scratch: AlignedBuffer<UInt32>
  private let columns: DenseColumnDecoder

  package init(tables: [TableLayout], layout: BatchLayout, precision: DensePrecision) {
    rows = tables.map(\.rows)
    shape = layout.shape
    self.precision = precision
    scratch = AlignedBuffer(count: Self.scratchCount(layout))
    columns = DenseColumnDecoder(maximumSamples: layout.maximumSamples)
  }

  private static func scratchCount(_ layout: BatchLayout) -> Int {
    max(layout.maximumUniqueRows, layout.bagCount > 0 || layout.shape.hasTimes ? layout.maximumSamples : 0)
  }

  static func bytes(of layout: BatchLayout) -> Int {
    max(64, 4 * scratchCount(layout)) + DenseColumnDecoder.bytes(maximumSamples: layout.maximumSamples)
  }

  /// Unique rows and entries that the headers of a batch tell.
  static func counts(
    _ raw: UnsafeRawBufferPointer, _ shape: SampleShape, samples: Int, path: String
  ) throws -> (unique: Int, entries: Int) {
    var headers = ByteCursor(raw, path: path, origin: 0)
    var unique = 0
    for _ in 0..<shape.tableCount { unique += Int(try headers.integer(UInt32.self)) }
    var entries = 0
    for feature in shape.features {
      entries += feature.isBag ? Int(try headers.integer(UInt32.self)) : samples
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
    guard codec[1] == FrameShape.flags(shape), codec[2] == 0, codec[3] == 0 else {
      throw cursor.corrupt("the flags of the batch do not fit its dataset")
    }
    try decodeLabels(&cursor, sampleCount, batch)
    if shape.hasTimes { try decodeTimes(&cursor, sampleCount, batch) }
    for column in 0..<shape.denseCount {
      try columns.read(
        &cursor, column: column, columns: shape.denseCount, samples: sampleCount, precision,
        into: batch.dense.base)
    }
    batch.tableOffsets.base[0] = 0
    var start = 0
    for table in rows.indices {
      let count = Int(try headers.integer(UInt32.self))
      guard count <= uniqueCount - start else {
        throw cursor.corrupt("table \(table) of the batch has impossible counts")
      }
      try decodeRows(&cursor, table: table, start: start, count: count, batch)
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
      guard entries <= batch.layout.maximumEntries - entry else {
        throw cursor.corrupt("feature \(number) of the batch has impossible counts")
      }
      if isBag {
        try decodeLengths(&cursor, feature: number, bag: bag, entries: entries, sampleCount, batch)
        bag += 1
      }
      try decodeInverse(&cursor, feature: number, start: entry, count: entries, batch)
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
    try columns.read(&cursor, column: 0, columns: 1, samples: samples, .fp32, into: weights)
    for sample in 0..<samples where !(weights[sample] > 0 && weights[sample] < .infinity) {
      throw cursor.corrupt("the weight of sample \(sample) is \(weights[sample])")
    }
  }

  private func decodeTimes(_ cursor: inout ByteCursor, _ samples: Int, _ batch: Batch) throws {
    let least = try cursor.integer(Int64.self)
    let times = batch.times.base
    let half = scratch.base
    try PackedNumbers.read(&cursor, count: samples, into: half)
    for sample in 0..<samples { times[sample] = Int64(half[sample]) }
    try PackedNumbers.read(&cursor, count: samples, into: half)
    for sample in 0..<samples {
      // Any 64 bits are a time.
      times[sample] = least &+ (times[sample] | Int64(bitPattern: UInt64(half[sample]) << 32))
    }
  }

  private func decodeRows(
    _ cursor: inout ByteCursor, table: Int, start: Int, count: Int, _ batch: Batch
  ) throws {
    let row = scratch.base
    guard let last = try PackedNumbers.readAscending(&cursor, count: count, into: row) else {
      throw cursor.corrupt("the rows of table \(table) do not ascend")
    }
    guard count == 0 || last < rows[table] else {
      throw cursor.corrupt("row \(last) of table \(table), which has \(rows[table]) rows")
    }
    let keys = batch.keys.base + start
    let base = RowKey(table: table, row: 0)
    for position in 0..<count { keys[position] = base &+ UInt64(row[position]) }
  }

  private func decodeLengths(
    _ cursor: inout ByteCursor, feature: Int, bag: Int, entries: Int, _ samples: Int, _ batch: Batch
  ) throws {
    let lengths = scratch.base
    try PackedNumbers.read(&cursor, count: samples, into: lengths)
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
    _ cursor: inout ByteCursor, feature: Int, start: Int, count: Int, _ batch: Batch
  ) throws {
    let table = shape.features[feature].table
    let first = batch.tableOffsets.base[table]
    let unique = batch.tableOffsets.base[table + 1] - first
    let inverse = batch.inverse.base + start
    try PackedNumbers.read(&cursor, count: count, plus: first, into: inverse)
    guard count == 0 || PackedNumbers.largest(inverse, count, minus: first) < unique else {
      throw cursor.corrupt("an index of feature \(feature) is out of range")
    }
  }

  private func decodeHints(_ cursor: inout ByteCursor, _ count: Int, _ batch: Batch) throws {
    let bits = try cursor.take(FrameShape.bitBytes(count)).assumingMemoryBound(to: UInt8.self)
    let firstTouch = batch.firstTouch.base
    for position in 0..<count { firstTouch[position] = (bits[position >> 3] >> UInt8(position & 7)) & 1 }
    let distances = scratch.base
    try PackedNumbers.read(&cursor, count: count, into: distances)
    guard PackedNumbers.largest(distances, count) <= UInt32(UInt16.max) else {
      throw cursor.corrupt("a next use has an impossible width")
    }
    let nextUse = batch.nextUse.base
    for position in 0..<count { nextUse[position] = UInt16(truncatingIfNeeded: distances[position]) }
  }
}
