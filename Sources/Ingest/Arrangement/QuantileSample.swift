import Primitives

/// A sample of the numbers of one column from which its quantiles are found: those whose lines have the lowest hashes, so that
/// it does not depend on threads or memory, and is spread evenly. All numbers, if they are at most 131,072.
struct QuantileSample {
  static let size = 1 << 17
  static let bytes = 4 * size * MemoryLayout<Entry>.stride

  private struct Entry {
    var hash: UInt64
    var key: LineKey
    var value: Double
  }

  private let random = CounterRandom(seed: 0, stream: 9)
  private var entries: [Entry] = []
  /// Hashes from here on are left out.
  private var limit = UInt64.max

  mutating func add(_ value: Double, _ key: LineKey) {
    let hash = random.bits(key.sequence)
    if hash >= limit || value.isNaN { return }
    entries.append(Entry(hash: hash, key: key, value: value))
    if entries.count == 2 * Self.size { shrink() }
  }

  private mutating func shrink() {
    entries.sort { $0.hash < $1.hash }
    limit = entries[Self.size].hash
    entries.removeLast(entries.count - Self.size)
  }

  /// At most `count` - 1 ascending boundaries between as many buckets of about equally many values; equal values share a
  /// bucket, so that there may be fewer.
  /// - Parameter end: key of the first line that is not trained on; nil if all are.
  func boundaries(_ count: Int, before end: LineKey?) -> [Double] {
    let values = entries.filter { entry in end.map { entry.key < $0 } ?? true }.map(\.value).sorted()
    guard let least = values.first else { return [] }
    var result: [Double] = []
    for bucket in 1..<count {
      let boundary = values[bucket * values.count / count]
      if boundary > result.last ?? least { result.append(boundary) }
    }
    return result
  }
}
