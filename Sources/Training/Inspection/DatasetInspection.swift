public import BatchStore
import Primitives

/// What the samples of a dataset do with one table.
public struct TableUse: Sendable {
  public let name: String
  /// Declared rows, the two reserved ones included.
  public let rows: Int
  /// Rows that the training part uses.
  public let usedRows: Int
  /// Share of the training accesses that goes to the most used 0.1, 1 and 10% of the used rows.
  public let topShares: [Double]
  /// Values with one use in the training part, and with two.
  public let once: Int
  public let twice: Int
  /// Shares of the training accesses: no value, and a value that shares the row of the rare ones.
  public let missing: Double
  public let rare: Double
  /// Share of the held-out accesses whose value has no row of its own.
  public let unseenInHoldout: Double
}

/// Questions about a dataset that take passes over its batches.
public struct DatasetInspection {
  public let dataset: Dataset
  /// Called now and then with batches read so far and in all.
  public var progressed: (_ done: Int, _ total: Int) -> Void = { _, _ in }

  public static let topShares = [0.001, 0.01, 0.1]
  /// Small tables are counted together up to this; a larger one alone.
  private static let countBytes = 256 << 20

  public init(_ dataset: Dataset) { self.dataset = dataset }

  /// Every table's use, in order. Holds 4 bytes a row of the largest table, or 256 MiB if that is more.
  public func tables() throws -> [TableUse] {
    let tables = dataset.manifest.tables
    var groups: [Range<Int>] = []
    var held = 0
    for (index, table) in tables.enumerated() {
      let bytes = AccessCounts.bytes(rows: Int(table.rows))
      if let last = groups.last, held + bytes <= Self.countBytes {
        groups[groups.count - 1] = last.lowerBound..<index + 1
      } else {
        groups.append(index..<index + 1)
        held = 0
      }
      held += bytes
    }
    let total = dataset.manifest.train.batches * groups.count + dataset.manifest.holdout.batches
    var done = 0
    func step() {
      done += 1
      progressed(done, total)
    }
    var unseen = Array(repeating: 0, count: tables.count)
    var heldOut = unseen
    try forEachBatch(.holdout) { batch in
      for table in tables.indices {
        batch.forEachRow(of: table) {
          heldOut[table] += 1
          if $0 == Vocabulary.unseenRow { unseen[table] += 1 }
        }
      }
      step()
    }
    var result: [TableUse] = []
    for group in groups {
      var counts = group.map { AccessCounts(rows: Int(tables[$0].rows)) }
      try forEachBatch(.train) { batch in
        for table in group {
          batch.forEachRow(of: table) { counts[table - group.lowerBound].add($0) }
        }
        step()
      }
      for table in group {
        result.append(
          use(
            of: tables[table], counts[table - group.lowerBound], unseen: unseen[table],
            heldOut: heldOut[table]))
      }
    }
    return result
  }

  private func use(
    of table: TableLayout, _ counts: AccessCounts, unseen: Int, heldOut: Int
  ) -> TableUse {
    let frequencies = counts.byFrequency()
    let reserved = 0..<min(counts.rows, Vocabulary.reservedRows)
    func values(usedTimes uses: Int) -> Int {
      (frequencies.first { $0.uses == uses }?.rows ?? 0) - reserved.count { counts[$0] == uses }
    }
    func share(_ count: Int, of total: Int) -> Double { total > 0 ? Double(count) / Double(total) : 0 }
    func accesses(_ row: UInt32) -> Int { Int(row) < counts.rows ? counts[Int(row)] : 0 }
    return TableUse(
      name: table.name, rows: Int(table.rows), usedRows: frequencies.reduce(0) { $0 + $1.rows },
      topShares: Self.topShares.map { AccessCounts.shareOfTop($0, of: frequencies) },
      once: values(usedTimes: 1), twice: values(usedTimes: 2),
      missing: share(accesses(Vocabulary.emptyRow), of: counts.accesses),
      rare: share(accesses(Vocabulary.unseenRow), of: counts.accesses),
      unseenInHoldout: share(unseen, of: heldOut))
  }

  /// The rows of a table that training accesses most, most first, of equal ones the lower row. Holds 4 bytes a
  /// row of the table.
  public func mostUsed(of table: Int, count: Int) throws -> [(row: UInt32, uses: Int)] {
    var counts = AccessCounts(rows: Int(dataset.manifest.tables[table].rows))
    var done = 0
    try forEachBatch(.train) { batch in
      batch.forEachRow(of: table) { counts.add($0) }
      done += 1
      progressed(done, dataset.manifest.train.batches)
    }
    var top = TopList<Int>(capacity: count)
    for row in 0..<counts.rows where counts[row] > 0 {
      top.offer(counts[row], RowKey(table: table, row: UInt32(row)))
    }
    return top.entries.map { ($0.key.row, $0.score) }
  }

  private func forEachBatch(_ split: Split, _ body: (Batch) throws -> Void) throws {
    let reader = try dataset.reader(split)
    let batch = Batch(layout: reader.layout)
    for index in 0..<reader.batchCount {
      try reader.read(index, into: batch)
      try body(batch)
    }
  }
}

extension Batch {
  /// The rows that samples use of one table, feature by feature, each in order.
  func forEachRow(of table: Int, _ body: (UInt32) -> Void) {
    let inverse = inverse.base
    let keys = keys.base
    for (number, feature) in layout.features.enumerated() where feature.table == table {
      for entry in Int(entryOffsets.base[number])..<Int(entryOffsets.base[number + 1]) {
        body(keys[Int(inverse[entry])].row)
      }
    }
  }
}
