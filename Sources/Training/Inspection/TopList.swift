import Primitives

/// The rows with the largest scores among those offered; of equal scores the lower key. Holds no more than `capacity`.
struct TopList<Score: Comparable> {
  private(set) var entries: [(score: Score, key: RowKey)] = []
  private let capacity: Int

  init(capacity: Int) { self.capacity = capacity }

  /// Complexity: constant for a score below all that are held, O(capacity) else.
  mutating func offer(_ score: Score, _ key: RowKey) {
    func isAhead(_ entry: (score: Score, key: RowKey)) -> Bool {
      entry.score != score ? entry.score > score : entry.key < key
    }
    if entries.count >= capacity {
      guard let last = entries.last, !isAhead(last) else { return }
      entries.removeLast()
    }
    let place = entries.lastIndex(where: isAhead).map { $0 + 1 } ?? 0
    entries.insert((score, key), at: place)
  }
}
