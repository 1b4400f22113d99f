import BatchStore
import Primitives

/// How often each value of one table occurs, and in which order they appeared first.
final class ValueCounter {
  /// Values seen at least this often are numbered by frequency.
  static let frequentCount: UInt32 = 16

  private let values = ValueTable()
  private var counts: [ValueCount] = []
  /// The first so many values have rows already, in their order from 2 on: those of the dataset that is extended.
  private(set) var known = 0

  /// Numbers and counts a column. The row of a value is its number in order of first appearance, from 2 on; an empty
  /// value has row 1 and is not counted.
  /// - Parameter addingNew: whether a new value gets a number; else its row is 0 and it is not counted.
  func add(_ column: ValueColumn, addingNew: Bool, rows: UnsafeMutablePointer<UInt32>) {
    values.intern(column, addingNew: addingNew, into: rows)
    makeCounts()
    counts.withUnsafeMutableBufferPointer { counts in
      for use in 0..<column.count where rows[use] >= Vocabulary.reservedRows {
        counts[Int(rows[use]) - Vocabulary.reservedRows].add(isTraining: true)
      }
    }
  }

  private func makeCounts() {
    if values.count > counts.count {
      counts.append(contentsOf: repeatElement(ValueCount(), count: values.count - counts.count))
    }
  }

  /// Counts a use of the value that `add` gave this row, as a use in training.
  func count(_ row: UInt32) {
    guard row >= Vocabulary.reservedRows else { return }
    makeCounts()
    counts[Int(row) - Vocabulary.reservedRows].add(isTraining: true)
  }

  /// Moves a use of the value with this row, which was counted, out of training.
  func hold(_ row: UInt32) {
    guard row >= Vocabulary.reservedRows else { return }
    counts[Int(row) - Vocabulary.reservedRows].hold()
  }

  /// Notes the values with these numbers in the spool.
  func note(_ numbers: Range<Int>, in spool: SampleSpool, table: Int) throws {
    try spool.note(values, numbers, table: table)
  }

  /// Takes a value again that `add` numbered in a run that was interrupted.
  func restore(_ value: UnsafeRawBufferPointer) { _ = values.intern(value) }

  /// Takes the value of the next row, before anything is counted.
  /// - Returns: false for a value that is there already.
  func know(_ value: UnsafeRawBufferPointer) -> Bool {
    guard values.intern(value) == known else { return false }
    known += 1
    return true
  }

  /// Values that get rows behind those of the known ones, in row order, as `ValueCount.order` has it.
  func order(minimumCount: Int, limit: Int = .max) -> [UInt32] {
    ValueCount.order(counts, from: known, minimumCount: minimumCount, limit: limit)
  }

  /// The final row for each row that `add` gave, by a result of `order`; 0 for values that are left out.
  func finalRows(_ order: [UInt32]) -> [UInt32] {
    var rows = rowsOfKnown
    var row = UInt32(Vocabulary.reservedRows + known)
    for number in order {
      rows[Int(number) + Vocabulary.reservedRows] = row
      row += 1
    }
    return rows
  }

  /// As `finalRows` before any but the known values has a row.
  var rowsOfKnown: [UInt32] {
    var rows = [UInt32](repeating: Vocabulary.unseenRow, count: provisionalRows)
    for row in Int(Vocabulary.emptyRow)..<Vocabulary.reservedRows + known { rows[row] = UInt32(row) }
    return rows
  }

  /// What the thresholds need to know; known values do not depend on them.
  var statistics: ThresholdCounts {
    var result = ThresholdCounts()
    for count in counts.dropFirst(known) { result.add(count) }
    return result
  }

  /// The most memory that it takes while `extra` values of `valueBytes` bytes together are added, rows and order
  /// afterwards not included.
  func bytes(adding extra: Int, ofBytes valueBytes: Int) -> Int {
    let longest = extra == 0 ? 0 : (valueBytes + extra - 1) / extra
    return values.bytes(adding: extra, valueBytes: longest) + 20 * (counts.count + extra)
  }

  /// Rows that `add` gave, the two reserved ones included.
  var provisionalRows: Int { values.count + Vocabulary.reservedRows }

  /// Uses of a value in training.
  func uses(of number: UInt32) -> UInt32 { counts[Int(number)].training }

  func value(_ number: UInt32) -> UnsafeRawBufferPointer { values.value(Int(number)) }
}
