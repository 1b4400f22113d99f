package import Primitives

/// Reads the raw form of a batch back, checking every count and every index before it is used. Visible to tests, which
/// feed it what no checksum would let through.
package struct BatchDecoder {
  /// Declared rows of each table: no row of a batch may reach them.
  private let rows: [UInt32]
  private let deltas: AlignedBuffer<UInt32>

  package init(tables: [TableLayout], layout: BatchLayout) {
    rows = tables.map(\.rows)
    deltas = AlignedBuffer(count: min(layout.maximumSamples, layout.maximumUniqueRows))
  }

  static func bytes(of layout: BatchLayout) -> Int {
    max(64, 4 * min(layout.maximumSamples, layout.maximumUniqueRows))
  }

  /// Fills `batch` from `raw`. `batch` has room for `sampleCount` samples and `uniqueCount` unique rows; after an
  /// error its contents mean nothing.
  package func decode(
    _ raw: UnsafeRawBufferPointer, sampleCount: Int, uniqueCount: Int, into batch: Batch, path: String,
    offset: Int
  ) throws {
    var cursor = ByteCursor(raw, path: path, origin: offset)
    let tables = rows.count
    let headers = try cursor.take(tables * FrameShape.tableHeaderBytes)
    let codec = try cursor.take(FrameShape.codecBytes).assumingMemoryBound(to: UInt8.self)
    guard codec[0] == FrameShape.denseFloat32 else {
      throw ChanterError(
        .unsupported, "dense columns are stored with codec \(codec[0]), which this program does not know",
        path: path, offset: offset)
    }
    guard codec[1] == 0, codec[2] == 0, codec[3] == 0 else { throw cursor.corrupt("reserved bytes are used") }
    try decodeLabels(&cursor, sampleCount, batch)
    try decodeDense(&cursor, sampleCount, batch)
    batch.tableOffsets.base[0] = 0
    var start = 0
    for table in 0..<tables {
      let header = headers + table * FrameShape.tableHeaderBytes
      let count = Int(UInt32(littleEndian: header.loadUnaligned(as: UInt32.self)))
      let planes = header.load(fromByteOffset: 4, as: UInt8.self)
      let inversePlanes = header.load(fromByteOffset: 5, as: UInt8.self)
      guard count <= sampleCount, count > 0 || sampleCount == 0, start + count <= uniqueCount, planes <= 4,
        inversePlanes <= 3
      else { throw cursor.corrupt("table \(table) of the batch has impossible counts") }
      try decodeRows(&cursor, table: table, start: start, count: count, planes: Int(planes), batch)
      let source = try cursor.take(Int(inversePlanes) * sampleCount)
      let largest = BytePlanes.read(
        source, planes: Int(inversePlanes), count: sampleCount, plus: UInt32(start),
        into: batch.inverse.base + table * sampleCount)
      guard largest < max(1, count) else {
        throw cursor.corrupt("an index of table \(table) is out of range")
      }
      start += count
      batch.tableOffsets.base[table + 1] = UInt32(start)
    }
    guard start == uniqueCount else { throw cursor.corrupt("the unique rows do not add up") }
    try decodeHints(&cursor, uniqueCount, batch)
    guard cursor.remaining == 0 else { throw cursor.corrupt("the batch is followed by unknown bytes") }
    batch.sampleCount = sampleCount
    batch.uniqueCount = uniqueCount
  }

  private func decodeLabels(_ cursor: inout ByteCursor, _ samples: Int, _ batch: Batch) throws {
    let bits = try cursor.take(FrameShape.bitBytes(samples)).assumingMemoryBound(to: UInt8.self)
    let labels = batch.labels.base
    for sample in 0..<samples { labels[sample] = Float((bits[sample >> 3] >> UInt8(sample & 7)) & 1) }
  }

  private func decodeDense(_ cursor: inout ByteCursor, _ samples: Int, _ batch: Batch) throws {
    let columns = batch.layout.denseCount
    BytePlanes.read(
      try cursor.take(4 * samples * columns), rows: samples, columns: columns, into: batch.dense.base)
  }

  private func decodeRows(
    _ cursor: inout ByteCursor, table: Int, start: Int, count: Int, planes: Int, _ batch: Batch
  ) throws {
    let source = try cursor.take(planes * count)
    let delta = deltas.base
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
    // At most 65,536 deltas below 2^32: the sum cannot wrap, and it only grows, so the last row says it all.
    guard !repeats else { throw cursor.corrupt("the rows of table \(table) do not ascend") }
    guard count == 0 || row < UInt64(rows[table]) else {
      throw cursor.corrupt("row \(row) of table \(table), which has \(rows[table]) rows")
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
