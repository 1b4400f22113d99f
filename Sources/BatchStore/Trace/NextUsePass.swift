import Primitives

/// Finds, for every use of a row in a trace, the distance to its next use, and the largest unions of windows.
///
/// Three phases: `append` every batch in order, `solve` once, `next` for every batch in order again. A form that
/// partitions the rows to disk would keep these three. This one holds 4 bytes and a `RowNumbering` entry by distinct
/// row, and 108 bytes by batch; what it needs by use goes to a temporary file, 4 bytes each.
final class NextUsePass {
  private let numbering = RowNumbering()
  /// By row: first its first use; while solving, the earliest use that was met going backwards.
  private let use = GrowableBuffer<UInt32>()
  private let counts = GrowableBuffer<UInt32>()
  private let spool: File
  private let buffer = GrowableBuffer<UInt32>()
  private var uses = 0
  private var nextBatch = 0
  private var nextUse = 0

  /// - Parameter directory: where the temporary file lies, on a disk with room for 4 bytes a use.
  init(directory: String) throws {
    spool = try File(temporaryIn: directory)
  }

  /// Takes the unique rows of the next batch.
  func append(_ keys: UnsafePointer<RowKey>, count: Int) throws {
    let batch = UInt32(counts.count)
    guard numbering.count + count < 1 << 31 else {
      throw ChanterError(.unsupported, "the trace uses more than 2^31 distinct rows")
    }
    buffer.removeAll()
    let numbers = buffer.extend(by: count)
    for position in 0..<count {
      let known = numbering.count
      let number = numbering.number(of: keys[position])
      let isFirst = numbering.count > known
      if isFirst { use.append(batch) }
      // The lowest bit carries the first-touch flag through the file.
      numbers[position] = number << 1 | (isFirst ? 1 : 0)
    }
    try spool.write(buffer.bytes, at: 4 * uses)
    uses += count
    counts.append(UInt32(count))
  }

  /// Goes through the trace backwards and replaces each row number in the file by its next use.
  /// - Returns: the largest union of unique rows for windows of 1, 2, 4, … batches.
  func solve() throws -> [Int] {
    let batches = counts.count
    var unions = WindowUnions(batches: batches)
    var end = uses
    for batch in (0..<batches).reversed() {
      let count = Int(counts.base[batch])
      end -= count
      try load(count, at: end)
      let values = buffer.base
      let latest = use.base
      for position in 0..<count {
        let row = Int(values[position] >> 1)
        let met = Int(latest[row])
        // Nothing later was met: the row is next used by its first batch, an epoch on.
        let distance = met <= batch ? met + batches - batch : met - batch
        unions.count(distance: distance)
        latest[row] = UInt32(batch)
        values[position] = UInt32(NextUse.encode(distance: distance)) << 1 | (values[position] & 1)
      }
      unions.endBatch(batch)
      try spool.write(buffer.bytes, at: 4 * end)
    }
    return unions.largest()
  }

  /// Gives the hints of the next batch, after `solve`.
  func next(nextUse codes: GrowableBuffer<UInt16>, firstTouch: GrowableBuffer<UInt8>) throws {
    let count = Int(counts.base[nextBatch])
    try load(count, at: nextUse)
    nextBatch += 1
    nextUse += count
    codes.removeAll()
    firstTouch.removeAll()
    let code = codes.extend(by: count)
    let flag = firstTouch.extend(by: count)
    for position in 0..<count {
      let value = buffer.base[position]
      code[position] = UInt16(truncatingIfNeeded: value >> 1)
      flag[position] = UInt8(truncatingIfNeeded: value & 1)
    }
  }

  private func load(_ count: Int, at use: Int) throws {
    buffer.removeAll()
    try spool.read(at: 4 * use, into: buffer.extend(by: count), count: 4 * count)
  }
}
