import BatchStore
import Primitives

/// The values of one table while the log is read: counted in memory, and beyond the memory limit on disk.
final class TableValues {
  let name: String
  private let number: Int
  let counter = ValueCounter()
  /// Values beyond the memory limit, if there are any.
  var spilled: SpilledTable?
  /// Values that were noted in the spool.
  private var noted = 0
  private let hashed: HashedColumn?

  init(_ name: String, number: Int, hashRows: Int?) {
    self.name = name
    self.number = number
    hashed = hashRows.map { HashedColumn(buckets: $0) }
  }

  /// Numbers the values of a block in the order of samples, and within one in that of the features.
  /// - Parameter firstSample: number of the first sample of the block.
  func add(_ block: TextBlock, firstSample: Int) throws {
    let column = column(of: block)
    let rows = block.rows(number)
    counter.add(column, addingNew: spilled == nil, rows: rows)
    if let spilled {
      try block.forEachUse(of: number) { use, sample, entry in
        guard rows[use] == Vocabulary.unseenRow else { return }
        try spilled.add(
          UnsafeRawBufferPointer(
            start: column.text + Int(column.starts[use]), count: Int(column.lengths[use])),
          hash: column.hashes[use], sample: firstSample + sample, entry: entry)
      }
    }
    block.scatter(number)
  }

  private func column(of block: TextBlock) -> ValueColumn {
    let column = block.column(number)
    return hashed?.fill(column) ?? column
  }

  /// The most memory for the values if all of these blocks are new.
  func bytes(adding blocks: [TextBlock]) -> Int {
    let columns = blocks.map { $0.column(number) }
    return counter.bytes(
      adding: columns.reduce(0) { $0 + $1.count }, ofBytes: columns.reduce(0) { $0 + $1.valueBytes })
  }

  /// Notes the values in memory that are new since the last time.
  func note(in spool: SampleSpool) throws {
    let count = counter.provisionalRows - Vocabulary.reservedRows
    try counter.note(noted..<count, in: spool, table: number)
    noted = count
  }

  /// Takes the value of the next row of the dataset that is extended.
  /// - Returns: false for a value that is there already.
  func know(_ value: UnsafeRawBufferPointer) -> Bool {
    noted += 1
    return counter.know(value)
  }

  /// Takes a value that was noted in a run that was interrupted.
  func restore(_ value: UnsafeRawBufferPointer) {
    counter.restore(value)
    noted = counter.provisionalRows - Vocabulary.reservedRows
  }
}
