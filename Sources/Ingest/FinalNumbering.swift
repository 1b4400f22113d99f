import BatchStore
import Primitives

/// The row of every value, known once the training part is.
struct FinalNumbering {
  let tables: [TableLayout]
  /// By table: numbers of first appearance in row order; empty once the vocabulary is written.
  let order: [[UInt32]]
  /// By table: the row of each provisional row.
  let rows: [[UInt32]]

  init(tables: [TableLayout], order: [[UInt32]], rows: [[UInt32]]) {
    self.tables = tables
    self.order = order
    self.rows = rows
  }

  /// Numbers values that are all in memory.
  init(_ tables: [TableValues], _ rule: NumberingRule, _ pool: WorkerPool) {
    var order = [[UInt32]](repeating: [], count: tables.count)
    var rows = order
    order.withUnsafeMutableBufferPointer { order in
      rows.withUnsafeMutableBufferPointer { rows in
        pool.run(tables.count) { table, _ in
          let counter = tables[table].counter
          order[table] = counter.order(
            minimumCount: rule.minimumCount, limit: rule.limit(beside: counter.known))
          rows[table] = counter.finalRows(order[table])
        }
      }
    }
    self.order = order
    self.rows = rows
    self.tables = zip(tables, order).map { table, order in
      TableLayout(
        name: table.name, rows: UInt32(Vocabulary.reservedRows + table.counter.known + order.count))
    }
  }

  /// Numbers the values in memory and the spilled ones together, and writes the vocabulary on the way.
  ///
  /// A spilled value appeared later than every value in memory of its table: so with equal counts it comes behind.
  /// - Parameters:
  ///   - tables: their spilled values are counted; each gets its row, or 0.
  ///   - parent: identity of the vocabulary that is extended.
  ///   - file: gets the rows.
  ///   - progress: called with the tables done.
  /// - Returns: the numbering of the values in memory, and the identity of the vocabulary.
  static func merging(
    _ tables: [TableValues], _ rule: NumberingRule, parent: String?, hashRows: Int?, to path: String,
    _ file: StreamFile, _ progress: (Int) throws -> Void
  ) throws -> (numbering: FinalNumbering, identity: String) {
    var layouts: [TableLayout] = []
    var rows: [[UInt32]] = []
    let writer = try VocabularyWriter(
      path, tableCount: tables.count, parent: parent, hashRows: hashRows)
    for (number, table) in tables.enumerated() {
      let counter = table.counter
      let order = counter.order(minimumCount: rule.minimumCount)
      let partitions = table.spilled?.partitions ?? []
      var frequency = Frequency()
      for number in order { frequency.add(counter.uses(of: number)) }
      for partition in partitions { frequency.add(partition.frequency) }
      let first = Vocabulary.reservedRows + counter.known
      let limit = rule.limit(beside: counter.known)
      let count = first + min(limit, frequency.values)
      guard count <= Int(UInt32.max) else {
        throw ChanterError(
          .unsupported, "table \(table.name) has more than 2^32 - 3 values; raise --min-count")
      }
      let layout = TableLayout(name: table.name, rows: UInt32(count))
      layouts.append(layout)
      try writer.beginTable(layout)
      for known in 0..<counter.known { try writer.append(counter.value(UInt32(known))) }
      var row = UInt32(first)
      var cut = RowLimit(frequency, limit: limit)
      func next(_ uses: UInt32, _ value: UnsafeRawBufferPointer) throws -> UInt32 {
        guard cut.takes(uses) else { return Vocabulary.unseenRow }
        try writer.append(value)
        row += 1
        return row - 1
      }
      var merge = try SortedMerge(partitions)
      func appendSpilled() throws {
        guard let partition = merge.partition else { return }
        let value = merge.value
        try partitions[partition].assign(next(value.count, value.bytes), file)
        try merge.advance()
      }
      var provisional = counter.rowsOfKnown
      for own in order {
        let uses = counter.uses(of: own)
        let value = SortedValue(count: uses, first: 0, bytes: counter.value(own))
        while merge.partition != nil, SortedValue.isBefore(merge.value, value) { try appendSpilled() }
        provisional[Int(own) + Vocabulary.reservedRows] = try next(uses, value.bytes)
      }
      while merge.partition != nil { try appendSpilled() }
      rows.append(provisional)
      try progress(number + 1)
    }
    return (FinalNumbering(tables: layouts, order: [], rows: rows), try writer.finish())
  }
}
