import BatchStore
import Primitives

extension FinalNumbering {
  /// Numbers the values in memory and the spilled ones together, and writes the vocabulary on the way.
  ///
  /// A spilled value appeared later than every value in memory of its table: so with equal counts it comes behind.
  /// - Parameters:
  ///   - spilled: counted; its uses have their rows when this returns.
  ///   - progress: called with the partitions done while the uses get their rows.
  /// - Returns: the numbering of the values in memory, and the identity of the vocabulary.
  static func merging(
    _ counters: [ValueCounter], _ names: [String], _ spilled: SpilledValues, minimumCount: Int,
    to path: String,
    _ progress: (Int) throws -> Void
  ) throws -> (numbering: FinalNumbering, identity: String) {
    var rows: [[UInt32]] = []
    var tables: [TableLayout] = []
    let writer = try VocabularyWriter(path, tableCount: counters.count)
    var merge = try spilled.merge()
    for (table, counter) in counters.enumerated() {
      let order = counter.order(minimumCount: minimumCount)
      let count = order.count + spilled.kept[table]
      guard count <= Int(UInt32.max) - Vocabulary.reservedRows else {
        throw ChanterError(.unsupported, "a column has more than 2^32 - 3 values; raise --min-count")
      }
      let layout = TableLayout(
        name: names[table], rows: UInt32(count + Vocabulary.reservedRows))
      tables.append(layout)
      try writer.beginTable(layout)
      var final = [UInt32](repeating: Vocabulary.unseenRow, count: counter.provisionalRows)
      final[Int(Vocabulary.emptyRow)] = Vocabulary.emptyRow
      var row = UInt32(Vocabulary.reservedRows)
      var next = 0
      func appendOwn() throws {
        final[Int(order[next]) + Vocabulary.reservedRows] = row
        try writer.append(counter.value(order[next]))
        next += 1
        row += 1
      }
      func appendSpilled() throws {
        guard let partition = merge.partition, let record = merge.record, let bytes = merge.bytes else {
          return
        }
        try writer.append(bytes)
        try spilled.assign(partition: partition, number: record.c, row: row)
        try merge.advance()
        row += 1
      }
      while next < order.count, counter.count(order[next]) >= ValueCounter.frequentCount {
        while let other = merge.frequentCount(table), other > counter.count(order[next]) {
          try appendSpilled()
        }
        try appendOwn()
      }
      while merge.frequentCount(table) != nil { try appendSpilled() }
      while next < order.count { try appendOwn() }
      while merge.table == table { try appendSpilled() }
      rows.append(final)
    }
    let identity = try writer.finish()
    try spilled.resolve(progress)
    return (FinalNumbering(tables: tables, order: [], rows: rows), identity)
  }
}

extension SpilledMerge {
  /// Table of the record that comes next.
  fileprivate var table: Int? { record.map { Int($0.a >> 33) } }

  /// Count of that record if it is of `table` and frequent.
  fileprivate func frequentCount(_ table: Int) -> UInt32? {
    guard let record, self.table == table, record.a & 1 << 32 == 0 else { return nil }
    return ~UInt32(truncatingIfNeeded: record.a)
  }
}

/// Puts the rows of spilled values into the samples that use them, group of batches by group.
final class SpilledRows {
  /// Where a row goes in a batch.
  private struct Place {
    var sample: UInt32
    var table: UInt32
    var row: UInt32
  }

  private let readers: [PartitionReader]
  private var hasRecord: [Bool]
  /// By batch of the group.
  private var places: [[Place]] = []

  init(_ spilled: SpilledValues) throws {
    readers = spilled.readers()
    hasRecord = try readers.map { try $0.next() }
  }

  /// Collects what belongs to the samples `range`, in batches of `batchSize`; ranges come in order.
  func load(_ range: Range<Int>, batchSize: Int) throws {
    let batches = (range.count + batchSize - 1) / batchSize
    for batch in places.indices { places[batch].removeAll(keepingCapacity: true) }
    while places.count < batches { places.append([]) }
    for (partition, reader) in readers.enumerated() {
      while hasRecord[partition], reader.record.a < UInt64(range.upperBound) {
        let (batch, sample) = (Int(reader.record.a) - range.lowerBound).quotientAndRemainder(
          dividingBy: batchSize)
        let place = reader.record.b
        places[batch].append(
          Place(
            sample: UInt32(sample), table: UInt32(place >> 32), row: UInt32(truncatingIfNeeded: place)))
        hasRecord[partition] = try reader.next()
      }
    }
  }

  /// Writes the rows of batch `batch` of the group; tasks of different batches may run side by side.
  /// - Returns: how many.
  func apply(_ batch: Int, to samples: SampleBatch) -> Int {
    let rows = samples.rows.base
    for place in places[batch] { rows[Int(place.table) * samples.capacity + Int(place.sample)] = place.row }
    return places[batch].count
  }
}
