import BatchStore
import Primitives

/// Distinct values of one partition, with their counts and first places.
final class PartitionValues {
  private let values = ValueTable()
  private var counts: [ValueCount] = []
  private var firsts: [UInt64] = []

  var count: Int { values.count }

  /// What all of it takes at most, with one more value, arrays while they grow, and the order that follows.
  var bytes: Int { values.bytes(adding: 1, valueBytes: VocabularyFile.maximumValueBytes) + 32 * counts.count }

  /// Counts a use and returns the number of its value.
  func add(_ value: UnsafeRawBufferPointer, at place: UInt64, isTraining: Bool) -> Int {
    let number = values.intern(value)
    if number == counts.count {
      counts.append(ValueCount())
      firsts.append(place)
    }
    counts[number].add(isTraining: isTraining)
    return number
  }

  /// The values that are seen often enough, as `SortedValue` has them.
  func order(minimumCount: Int) -> [UInt32] {
    // Numbers ascend with first appearance.
    ValueCount.order(counts, minimumCount: minimumCount, limit: .max)
  }

  func value(_ number: UInt32) -> UnsafeRawBufferPointer { values.value(Int(number)) }
  func trainingCount(_ number: UInt32) -> UInt32 { counts[Int(number)].training }
  func first(_ number: UInt32) -> UInt64 { firsts[Int(number)] }

  /// What the thresholds need to know.
  var statistics: ThresholdCounts {
    var result = ThresholdCounts()
    for count in counts { result.add(count) }
    return result
  }
}
