import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Finds, for every use of a row in a trace, the distance to its next use, and the largest unions of windows.
///
/// Three phases: `append` every batch in order, `solve` once, `next` for every batch in order again, but for those that are
/// skipped. The rows of all tables are counted through and cut into partitions, each of which is solved alone. The uses lie in one
/// temporary file, 4 bytes each and 16 by batch and partition. Memory: 4 bytes by row of one partition that is used,
/// `partitionBytes` by partition, and `bytes(uniqueRows:)`; one file descriptor.
final class NextUsePass {
  /// The memory of a partition that is not being solved.
  static let partitionBytes = MemoryLayout<NextUsePartition>.stride
  /// So many take a megabyte.
  static let mostPartitions = 1 << 14

  private let directory: String
  /// Where the rows of each table start in the common count.
  private let tableStarts: [Int]
  private let rowsPerPartition: Int
  private let file: WordStreamFile
  private var partitions: [NextUsePartition]
  private let buffer = GrowableBuffer<UInt32>()
  private var batches = 0
  private var nextBatch = 0

  /// - Parameters:
  ///   - directory: where the temporary file lies, on a disk with room for 4 bytes a use.
  ///   - rowsPerPartition: 1 to 2^30.
  /// - Throws: `.budget` if that makes too many partitions.
  init(directory: String, tables: [TableLayout], rowsPerPartition: Int) throws {
    precondition((1...1 << 30).contains(rowsPerPartition))
    var starts: [Int] = []
    var total = 0
    for table in tables {
      starts.append(total)
      total += Int(table.rows)
    }
    guard total <= rowsPerPartition * Self.mostPartitions else {
      throw ChanterError(
        .budget,
        "the memory for next uses serves \(rowsPerPartition * Self.mostPartitions) rows and there are \(total); give"
          + " --memory \((total - 1) / (rowsPerPartition * Self.mostPartitions) + 1) times as much")
    }
    self.directory = directory
    tableStarts = starts
    self.rowsPerPartition = rowsPerPartition
    file = try WordStreamFile(temporaryIn: directory)
    partitions = stride(from: 0, to: total, by: rowsPerPartition).map {
      NextUsePartition(firstRow: $0, rows: min(rowsPerPartition, total - $0))
    }
  }

  /// Memory beside partitions, of batches with at most so many unique rows: the uses of a batch, old and new memory while they
  /// grow, and a block of them.
  static func bytes(uniqueRows: Int) -> Int { 3 * 4 * uniqueRows + WordStreamFile.blockBytes }

  /// Takes the unique rows of the next batch, ascending; each lies below the rows of its table.
  /// - Parameter used: by table, rows below this are not flagged as touched first.
  func append(_ keys: UnsafePointer<RowKey>, count: Int, used: [UInt32]? = nil) throws {
    var position = 0
    while position < count {
      let partition = number(of: keys[position]) / rowsPerPartition
      let end = partitions[partition].firstRow + partitions[partition].rows
      buffer.removeAll()
      let start = position
      // The batch and how many uses of it follow, before them and behind them.
      let piece = buffer.extend(by: count - start + 2 * NextUsePartition.markWords)
      var words = NextUsePartition.markWords
      while position < count {
        let row = number(of: keys[position])
        if row >= end { break }
        // The lowest bit is the first-touch flag: whether it may be one, until the trace is known.
        let mayBeFirst = used.map { keys[position].row >= $0[keys[position].table] } ?? true
        piece[words] =
          UInt32(truncatingIfNeeded: row - partitions[partition].firstRow) << 1 | (mayBeFirst ? 1 : 0)
        words += 1
        position += 1
      }
      (piece[0], piece[1]) = (UInt32(batches), UInt32(position - start))
      (piece[words], piece[words + 1]) = (piece[1], piece[0])
      buffer.truncate(to: words + NextUsePartition.markWords)
      try file.append(
        UnsafeBufferPointer(start: buffer.base, count: buffer.count), to: &partitions[partition].uses)
    }
    batches += 1
  }

  /// Takes a batch whose rows nobody knows.
  func appendUnknown() { batches += 1 }

  /// Passes over the hints of the first `count` batches, after `solve`.
  func skip(_ count: Int) throws {
    precondition(nextBatch == 0)
    for number in partitions.indices {
      while partitions[number].nextBatch < count { try partitions[number].takeNext(file, buffer) }
    }
    nextBatch = count
  }

  @inline(__always)
  private func number(of key: RowKey) -> Int { tableStarts[key.table] + Int(key.row) }

  /// Replaces each use in the file by its next use.
  /// - Returns: the largest union of unique rows for windows of 1, 2, 4, … batches.
  func solve() throws -> [Int] {
    var unions = try WindowUnions(batches: batches, directory: directory)
    for number in partitions.indices {
      try partitions[number].solve(file, batches: batches, &unions)
      try partitions[number].findFirst(file)
    }
    return try unions.largest()
  }

  /// Gives the hints of the next batch, after `solve`.
  func next(nextUse codes: GrowableBuffer<UInt16>, firstTouch: GrowableBuffer<UInt8>) throws {
    codes.removeAll()
    firstTouch.removeAll()
    // Keys ascend within a batch, and so do the partitions.
    for number in partitions.indices where partitions[number].nextBatch == nextBatch {
      let count = try partitions[number].takeNext(file, buffer)
      let values = buffer.base
      let code = codes.extend(by: count)
      let flag = firstTouch.extend(by: count)
      for position in 0..<count {
        code[position] = UInt16(truncatingIfNeeded: values[position] >> 1)
        flag[position] = UInt8(truncatingIfNeeded: values[position] & 1)
      }
    }
    nextBatch += 1
  }
}

/// The uses of one range of rows: a piece for each batch that has any, marked on both sides so that it can be read in either
/// direction.
private struct NextUsePartition {
  /// The batch and the number of its uses; behind the uses the other way around.
  static let markWords = 2

  let firstRow: Int
  let rows: Int
  var uses = WordStream()
  /// The batch of the piece that is read next; `.max` behind the last.
  private(set) var nextBatch = Int.max
  private var nextCount = 0
  private var cursor: WordCursor

  init(firstRow: Int, rows: Int) {
    self.firstRow = firstRow
    self.rows = rows
    cursor = uses.start
  }

  /// Goes through the uses forwards for the first of each row, then backwards for the next ones.
  func solve(_ file: WordStreamFile, batches: Int, _ unions: inout WindowUnions) throws {
    if uses.count == 0 { return }
    // By row: its first batch, then the earliest that was met going backwards, plus 1. Zeroed by the system, so that
    // ranges of a table that are never used cost nothing.
    guard let memory = calloc(rows, MemoryLayout<UInt32>.stride) else {
      throw ChanterError(.budget, "no memory for \(rows) rows; close other programs")
    }
    defer { free(memory) }
    let latest = memory.assumingMemoryBound(to: UInt32.self)
    try update(file, backwards: false) { batch, values in
      guard batch < batches else { throw Self.damaged(file) }
      for position in values.indices {
        let row = Int(values[position] >> 1)
        guard row < rows else { throw Self.damaged(file) }
        if latest[row] == 0 { latest[row] = UInt32(batch + 1) } else { values[position] &= ~1 }
      }
    }
    var current = batches - 1
    try update(file, backwards: true) { batch, values in
      guard batch <= current else { throw Self.damaged(file) }
      while current > batch {
        try unions.endBatch(current)
        current -= 1
      }
      for position in values.indices {
        let row = Int(values[position] >> 1)
        guard row < rows else { throw Self.damaged(file) }
        let met = Int(latest[row]) - 1
        // Nothing later was met: the row is next used by its first batch, an epoch on.
        let distance = met <= batch ? met + batches - batch : met - batch
        unions.count(distance: distance)
        latest[row] = UInt32(batch + 1)
        values[position] = UInt32(NextUse.encode(distance: distance)) << 1 | (values[position] & 1)
      }
    }
    while current >= 0 {
      try unions.endBatch(current)
      current -= 1
    }
  }

  /// Calls `body` with the uses of each batch, perhaps with some at a time.
  private func update(
    _ file: WordStreamFile, backwards: Bool,
    _ body: (_ batch: Int, UnsafeMutableBufferPointer<UInt32>) throws -> Void
  ) throws {
    var (batch, values) = (0, 0)
    // Which word of a mark comes next, or how many are left of one that is passed over.
    var (mark, passed) = (0, 0)
    try file.update(uses, backwards: backwards) { words in
      var done = 0
      while done < words.count {
        let left = words.count - done
        if passed > 0, values == 0 {
          let count = min(passed, left)
          passed -= count
          done += count
        } else if values > 0 {
          let count = min(values, left)
          let first = backwards ? left - count : done
          try body(batch, UnsafeMutableBufferPointer(rebasing: words[first..<first + count]))
          values -= count
          done += count
        } else {
          let word = Int(words[backwards ? left - 1 : done])
          if mark == 0 { batch = word } else { values = word }
          mark += 1
          done += 1
          if mark == Self.markWords { (mark, passed) = (0, Self.markWords) }
        }
      }
    }
  }

  /// Goes to the first piece.
  mutating func findFirst(_ file: WordStreamFile) throws {
    cursor = uses.start
    guard uses.count > 0 else { return }
    try withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Self.markWords) { mark in
      guard let base = mark.baseAddress else { return }
      try file.read(mark.count, at: &cursor, into: base)
      (nextBatch, nextCount) = (Int(base[0]), Int(base[1]))
    }
  }

  /// A number that was never written there: what it counts or names must not be believed.
  private static func damaged(_ file: WordStreamFile) -> ChanterError {
    ChanterError(
      .io,
      "the temporary file of next uses reads back otherwise than it was written; the disk is failing:"
        + " run the command again with its output on another", path: file.path)
  }

  /// Puts what became of the uses of the next piece into `buffer`, and goes to the one behind it.
  /// - Returns: how many these are.
  @discardableResult
  mutating func takeNext(_ file: WordStreamFile, _ buffer: GrowableBuffer<UInt32>) throws -> Int {
    let count = nextCount
    buffer.removeAll()
    // With the mark of the next piece, if there is one: small pieces cost a call each.
    let words = min(count + 2 * Self.markWords, uses.count - cursor.word)
    guard words >= count + Self.markWords else { throw Self.damaged(file) }
    let target = buffer.extend(by: words)
    try file.read(words, at: &cursor, into: target)
    if words == count + 2 * Self.markWords {
      let batch = Int(target[words - 2])
      guard batch > nextBatch else { throw Self.damaged(file) }
      (nextBatch, nextCount) = (batch, Int(target[words - 1]))
    } else {
      nextBatch = .max
    }
    return count
  }
}
