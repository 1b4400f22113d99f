import Foundation

/// Counts of norms between 1, 2 and 5 times powers of ten, from 10^-8 to 10^8; one more at either end for what lies beyond.
public struct NormHistogram: Equatable, Sendable {
  /// Where one bucket ends and the next begins.
  public static let edges: [Double] = (-8...8).flatMap { power in
    [1, 2, 5].map { $0 * pow(10, Double(power)) }
  }

  /// `counts[i]`: norms from `edges[i - 1]` up to but not including `edges[i]`.
  public private(set) var counts = Array(repeating: 0, count: edges.count + 1)
  public private(set) var total = 0
  public private(set) var smallest = Double.infinity
  public private(set) var largest = 0.0
  private var sum = 0.0

  public init() {}

  public var mean: Double { total > 0 ? sum / Double(total) : 0 }

  mutating func add(_ norm: Double) {
    var low = 0
    var high = Self.edges.count
    while low < high {
      let middle = (low + high) / 2
      if Self.edges[middle] <= norm { low = middle + 1 } else { high = middle }
    }
    counts[low] += 1
    total += 1
    sum += norm
    smallest = min(smallest, norm)
    largest = max(largest, norm)
  }

  public mutating func add(_ other: NormHistogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    total += other.total
    sum += other.sum
    smallest = min(smallest, other.smallest)
    largest = max(largest, other.largest)
  }

  /// The buckets from the first to the last that hold something.
  public var filled: Range<Int> {
    guard let first = counts.firstIndex(where: { $0 > 0 }), let last = counts.lastIndex(where: { $0 > 0 })
    else { return 0..<0 }
    return first..<last + 1
  }
}
