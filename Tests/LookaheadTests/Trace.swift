import Lookahead
import Primitives

/// A seeded random trace of batches: skewed rows in three tables, with next uses and first touches.
struct Trace {
  var batches: [[RowKey]] = []
  var nextUses: [[UInt16]] = []
  var firstTouches: [[UInt8]] = []

  /// - Parameter nextUsesAreRandom: replaces every next use by a random code.
  init(seed: UInt64, batchCount: Int, epochs: Int = 1, draws: Int = 40, nextUsesAreRandom: Bool = false) {
    let random = CounterRandom(seed: seed, stream: 77)
    var counter: UInt64 = 0
    func draw(_ bound: UInt64) -> UInt64 {
      counter += 1
      return random.below(bound, counter)
    }
    for _ in 0..<batchCount {
      var rows: Set<RowKey> = []
      for _ in 0..<draws {
        let range: UInt64 = draw(10) < 6 ? 12 : (draw(10) < 7 ? 80 : 2000)
        rows.insert(RowKey(table: Int(draw(3)), row: UInt32(draw(range))))
      }
      batches.append(rows.sorted())
    }
    let epoch = batches
    batches = Array(repeating: epoch, count: epochs).flatMap { $0 }
    var next: [RowKey: Int] = [:]
    // What lies behind the last epoch is the first one again.
    for (index, batch) in batches.prefix(batchCount).enumerated().reversed() {
      for key in batch { next[key] = batches.count + index }
    }
    nextUses = Array(repeating: [], count: batches.count)
    for index in batches.indices.reversed() {
      nextUses[index] = batches[index].map { key in
        defer { next[key] = index }
        return nextUsesAreRandom
          ? UInt16(draw(65_536)) : NextUse.encode(distance: (next[key] ?? index) - index)
      }
    }
    // The same flags in every epoch, as a dataset stores them.
    var seen: Set<RowKey> = []
    let flags: [[UInt8]] = epoch.map { batch in batch.map { seen.insert($0).inserted ? 1 : 0 } }
    firstTouches = Array(repeating: flags, count: epochs).flatMap { $0 }
  }

  var maximumUniqueRows: Int { batches.map(\.count).max() ?? 0 }

  /// Distinct rows in the fullest window of `length` batches.
  func largestUnion(_ length: Int) -> Int {
    batches.indices.map { start in Set(batches[start..<min(start + length, batches.count)].joined()).count }
      .max() ?? 0
  }

  func withAccess<Result>(_ step: Int, _ body: (BatchAccess) throws -> Result) rethrows -> Result {
    try body(
      BatchAccess(
        count: batches[step].count, keys: batches[step], nextUses: nextUses[step],
        firstTouches: firstTouches[step]))
  }
}
