import BatchStore

/// How often each value of one table occurs, and in which order they appeared first.
final class ValueCounter {
  /// Values seen at least this often are numbered by frequency.
  static let frequentCount: UInt32 = 16

  private let values = ValueTable()
  private var counts: [UInt32] = []

  /// Numbers and counts a column. The row of a value is its number in order of first appearance, from 2 on; an empty
  /// value has row 1 and is not counted.
  /// - Parameter addingNew: whether a new value gets a number; else its row is 0 and it is not counted.
  func add(_ column: ValueColumn, addingNew: Bool, rows: UnsafeMutablePointer<UInt32>) {
    values.intern(column, addingNew: addingNew, into: rows)
    if values.count > counts.count {
      counts.append(contentsOf: repeatElement(0, count: values.count - counts.count))
    }
    counts.withUnsafeMutableBufferPointer { counts in
      for sample in 0..<column.count where rows[sample] >= Vocabulary.reservedRows {
        let number = Int(rows[sample]) - Vocabulary.reservedRows
        if counts[number] < .max { counts[number] += 1 }
      }
    }
  }

  /// Takes back a use of the value that `add` gave this row. A count that reached 2^32 - 1 stays.
  func remove(_ row: UInt32) {
    guard row >= Vocabulary.reservedRows else { return }
    let number = Int(row) - Vocabulary.reservedRows
    if counts[number] < .max { counts[number] -= 1 }
  }

  /// Values in row order from row 2 on: those seen at least 16 times by frequency, ties by first appearance; then the
  /// others by first appearance. Values rarer than `minimumCount` are left out.
  func order(minimumCount: Int) -> [UInt32] {
    var frequent: [UInt32] = []
    var others: [UInt32] = []
    for (number, count) in counts.enumerated() where Int(count) >= minimumCount {
      if count >= Self.frequentCount {
        frequent.append(UInt32(number))
      } else {
        others.append(UInt32(number))
      }
    }
    // Numbers ascend with first appearance.
    frequent.sort { left, right in
      let (first, second) = (counts[Int(left)], counts[Int(right)])
      return first != second ? first > second : left < right
    }
    return frequent + others
  }

  /// The final row for each row that `add` gave, by a result of `order`; 0 for values that are left out.
  func finalRows(_ order: [UInt32]) -> [UInt32] {
    var rows = [UInt32](repeating: Vocabulary.unseenRow, count: provisionalRows)
    rows[Int(Vocabulary.emptyRow)] = Vocabulary.emptyRow
    for (position, number) in order.enumerated() {
      rows[Int(number) + Vocabulary.reservedRows] = UInt32(position + Vocabulary.reservedRows)
    }
    return rows
  }

  /// The most memory that it takes while `extra` values of `valueBytes` bytes together are added, rows and order
  /// afterwards not included.
  func bytes(adding extra: Int, ofBytes valueBytes: Int) -> Int {
    let longest = extra == 0 ? 0 : (valueBytes + extra - 1) / extra
    return values.bytes(adding: extra, valueBytes: longest) + 12 * (counts.count + extra)
  }

  /// Rows that `add` gave, the two reserved ones included.
  var provisionalRows: Int { values.count + Vocabulary.reservedRows }

  func count(_ number: UInt32) -> UInt32 { counts[Int(number)] }

  func value(_ number: UInt32) -> UnsafeRawBufferPointer { values.value(Int(number)) }
}
