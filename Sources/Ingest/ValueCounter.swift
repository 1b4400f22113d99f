import BatchStore

/// How often each value of one table occurs, and in which order they appeared first.
final class ValueCounter {
  /// Values seen at least this often are numbered by frequency.
  static let frequentCount = 16

  private let values = ValueTable()
  private var counts: [UInt32] = []

  /// Counts one occurrence; an empty value is not counted.
  func add(_ value: UnsafeRawBufferPointer) {
    if value.isEmpty { return }
    let number = values.intern(value)
    if number == counts.count {
      counts.append(1)
    } else if counts[number] < .max {
      counts[number] += 1
    }
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

  func value(_ number: UInt32) -> UnsafeRawBufferPointer { values.value(Int(number)) }
}
