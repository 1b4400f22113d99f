import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Finds, for every use of a row in a trace, the distance to its next use, and the largest unions of windows.
///
/// Three phases: `append` every batch in order, `solve` once, `next` for every batch in order again, but for those that are
/// skipped. The rows of all
/// tables are counted through and cut into partitions; each has a temporary file of its uses, 4 bytes each, and is
/// solved alone. Memory: 4 bytes by row of one partition that is used, and 8 KiB by partition.
final class NextUsePass {
  private let directory: String
  /// Where the rows of each table start in the common count.
  private let tableStarts: [Int]
  private let rowsPerPartition: Int
  private let partitions: [NextUsePartition]
  private var batches = 0
  private var nextBatch = 0

  /// - Parameters:
  ///   - directory: where the temporary files lie, on a disk with room for 4 bytes a use.
  ///   - rowsPerPartition: 1 to 2^30.
  init(directory: String, tables: [TableLayout], rowsPerPartition: Int) throws {
    precondition((1...1 << 30).contains(rowsPerPartition))
    var starts: [Int] = []
    var total = 0
    for table in tables {
      starts.append(total)
      total += Int(table.rows)
    }
    self.directory = directory
    tableStarts = starts
    self.rowsPerPartition = rowsPerPartition
    partitions = try stride(from: 0, to: total, by: rowsPerPartition).map {
      try NextUsePartition(directory: directory, firstRow: $0, rows: min(rowsPerPartition, total - $0))
    }
  }

  /// Takes the unique rows of the next batch, ascending; each lies below the rows of its table.
  /// - Parameter used: by table, rows below this are not flagged as touched first.
  func append(_ keys: UnsafePointer<RowKey>, count: Int, used: [UInt32]? = nil) throws {
    var position = 0
    while position < count {
      let partition = partitions[number(of: keys[position]) / rowsPerPartition]
      position = try partition.append(keys, from: position, to: count, used: used) { number(of: $0) }
    }
    for partition in partitions { try partition.endBatch() }
    batches += 1
  }

  /// Takes a batch whose rows nobody knows.
  func appendUnknown() throws {
    for partition in partitions { try partition.endBatch() }
    batches += 1
  }

  /// Passes over the hints of the first `count` batches, after `solve`.
  func skip(_ count: Int) throws {
    precondition(nextBatch == 0)
    for partition in partitions { try partition.skip(count) }
    nextBatch = count
  }

  @inline(__always)
  private func number(of key: RowKey) -> Int { tableStarts[key.table] + Int(key.row) }

  /// Replaces each use in the files by its next use.
  /// - Returns: the largest union of unique rows for windows of 1, 2, 4, … batches.
  func solve() throws -> [Int] {
    var unions = try WindowUnions(batches: batches, directory: directory)
    for partition in partitions { try partition.solve(&unions) }
    return try unions.largest()
  }

  /// Gives the hints of the next batch, after `solve`.
  func next(nextUse codes: GrowableBuffer<UInt16>, firstTouch: GrowableBuffer<UInt8>) throws {
    codes.removeAll()
    firstTouch.removeAll()
    // Keys ascend within a batch, and so do the partitions.
    for partition in partitions { try partition.next(nextBatch, nextUse: codes, firstTouch: firstTouch) }
    nextBatch += 1
  }
}

/// The uses of one range of rows.
final class NextUsePartition {
  private let firstRow: Int
  private let rows: Int
  private let spool: File
  /// Uses by batch.
  private let counts: NumberFile
  /// Those of the batch that is taken.
  private var pending = 0
  private let buffer = GrowableBuffer<UInt32>()
  private var uses = 0
  private var nextUse = 0

  init(directory: String, firstRow: Int, rows: Int) throws {
    self.firstRow = firstRow
    self.rows = rows
    spool = try File(temporaryIn: directory)
    counts = try NumberFile(temporaryIn: directory)
  }

  func endBatch() throws {
    try counts.append(UInt32(pending))
    pending = 0
  }

  /// Takes the keys from `start` on that lie in this partition.
  /// - Returns: the position of the first that does not.
  func append(
    _ keys: UnsafePointer<RowKey>, from start: Int, to end: Int, used: [UInt32]?, _ number: (RowKey) -> Int
  ) throws -> Int {
    buffer.removeAll()
    let values = buffer.extend(by: end - start)
    var position = start
    while position < end {
      let row = number(keys[position]) - firstRow
      if row >= rows { break }
      // The lowest bit is the first-touch flag: whether it may be one, until the trace is known.
      let mayBeFirst = used.map { keys[position].row >= $0[keys[position].table] } ?? true
      values[position - start] = UInt32(truncatingIfNeeded: row) << 1 | (mayBeFirst ? 1 : 0)
      position += 1
    }
    buffer.truncate(to: position - start)
    try spool.write(buffer.bytes, at: 4 * uses)
    uses += buffer.count
    pending = buffer.count
    return position
  }

  /// Goes through the uses forwards for the first of each row, then backwards for the next ones.
  func solve(_ unions: inout WindowUnions) throws {
    let batches = counts.count
    if uses == 0 { return }
    // By row: its first batch, then the earliest that was met going backwards, plus 1. Zeroed by the system, so that
    // ranges of a table that are never used cost nothing.
    guard let memory = calloc(rows, MemoryLayout<UInt32>.stride) else {
      throw ChanterError(.budget, "no memory for \(rows) rows; close other programs")
    }
    defer { free(memory) }
    let latest = memory.assumingMemoryBound(to: UInt32.self)
    var end = 0
    for batch in 0..<batches {
      let count = Int(try counts.number(batch))
      try load(count, at: end)
      let values = buffer.base
      for position in 0..<count {
        let row = Int(values[position] >> 1)
        if latest[row] == 0 { latest[row] = UInt32(batch + 1) } else { values[position] &= ~1 }
      }
      try spool.write(buffer.bytes, at: 4 * end)
      end += count
    }
    for batch in (0..<batches).reversed() {
      let count = Int(try counts.number(batch))
      end -= count
      try load(count, at: end)
      let values = buffer.base
      for position in 0..<count {
        let row = Int(values[position] >> 1)
        let met = Int(latest[row]) - 1
        // Nothing later was met: the row is next used by its first batch, an epoch on.
        let distance = met <= batch ? met + batches - batch : met - batch
        unions.count(distance: distance)
        latest[row] = UInt32(batch + 1)
        values[position] = UInt32(NextUse.encode(distance: distance)) << 1 | (values[position] & 1)
      }
      try unions.endBatch(batch)
      try spool.write(buffer.bytes, at: 4 * end)
    }
  }

  func skip(_ batches: Int) throws {
    for batch in 0..<batches { nextUse += Int(try counts.number(batch)) }
  }

  /// Appends the hints of a batch; batches come in order.
  func next(_ batch: Int, nextUse codes: GrowableBuffer<UInt16>, firstTouch: GrowableBuffer<UInt8>) throws {
    let count = Int(try counts.number(batch))
    try load(count, at: nextUse)
    nextUse += count
    let values = buffer.base
    let code = codes.extend(by: count)
    let flag = firstTouch.extend(by: count)
    for position in 0..<count {
      code[position] = UInt16(truncatingIfNeeded: values[position] >> 1)
      flag[position] = UInt8(truncatingIfNeeded: values[position] & 1)
    }
  }

  private func load(_ count: Int, at use: Int) throws {
    buffer.removeAll()
    try spool.read(at: 4 * use, into: buffer.extend(by: count), count: 4 * count)
  }
}
