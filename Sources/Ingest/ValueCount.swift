/// Uses of one value; each count stays at 2^32 - 1 once it is there.
struct ValueCount: BitwiseCopyable {
  var training: UInt32 = 0
  /// In the parts that are not trained on.
  var held: UInt32 = 0

  @inline(__always)
  mutating func add(isTraining: Bool) {
    if isTraining {
      if training < .max { training += 1 }
    } else if held < .max {
      held += 1
    }
  }

  /// One use less in training and one more outside of it.
  @inline(__always)
  mutating func hold() {
    if training < .max { training -= 1 }
    if held < .max { held += 1 }
  }

  /// Numbers of values in row order: those seen at least 16 times by frequency, ties by number, which ascend with first
  /// appearance; then the others by number. Values rarer than `minimumCount` are left out, and the rarest beyond `limit`, of
  /// equal ones those that appeared last; so are those before number `first`.
  static func order(_ counts: [ValueCount], from first: Int = 0, minimumCount: Int, limit: Int) -> [UInt32] {
    var frequent: [UInt32] = []
    var others: [UInt32] = []
    for number in min(first, counts.count)..<counts.count {
      let count = counts[number].training
      // A value that only held-out samples have gets no row, whatever the threshold.
      if count == 0 || Int(count) < minimumCount { continue }
      if count >= ValueCounter.frequentCount {
        frequent.append(UInt32(number))
      } else {
        others.append(UInt32(number))
      }
    }
    frequent.sort { left, right in
      let (first, second) = (counts[Int(left)].training, counts[Int(right)].training)
      return first != second ? first > second : left < right
    }
    let order = frequent + others
    guard order.count > limit else { return order }
    var frequency = Frequency()
    for number in order { frequency.add(counts[Int(number)].training) }
    var cut = RowLimit(frequency, limit: limit)
    return order.filter { cut.takes(counts[Int($0)].training) }
  }
}

/// How many values have how many uses in training.
struct Frequency {
  /// Values seen at least 16 times.
  private(set) var frequent = 0
  /// The others by their uses.
  private(set) var rare = [Int](repeating: 0, count: Int(ValueCounter.frequentCount))

  var values: Int { rare.reduce(frequent, +) }

  mutating func add(_ uses: UInt32) {
    if uses >= ValueCounter.frequentCount { frequent += 1 } else { rare[Int(uses)] += 1 }
  }

  mutating func add(_ other: Frequency) {
    frequent += other.frequent
    for (uses, count) in other.rare.enumerated() { rare[uses] += count }
  }
}

/// Which values stay below a limit: the most frequent ones, and of the last count those that appeared first.
struct RowLimit {
  /// Frequent values that may still come.
  private var frequent: Int
  /// Rare values with more uses than this stay; of those with exactly so many, the next `left`.
  private var least: UInt32 = 0
  private var left: Int

  init(_ frequency: Frequency, limit: Int) {
    frequent = limit
    left = max(0, limit - frequency.frequent)
    for uses in frequency.rare.indices.reversed() where frequency.rare[uses] > 0 {
      if frequency.rare[uses] > left {
        least = UInt32(uses)
        return
      }
      left -= frequency.rare[uses]
    }
  }

  /// Whether the next value, in row order, stays.
  mutating func takes(_ uses: UInt32) -> Bool {
    if uses >= ValueCounter.frequentCount {
      frequent -= 1
      return frequent >= 0
    }
    if uses != least { return uses > least }
    left -= 1
    return left >= 0
  }
}
