import Foundation
import Primitives
import Testing

@testable import Metrics

@Suite struct GroupedRankingTests {
  /// Counts pairs in each group, one by one.
  private func naive(_ samples: [(group: UInt32, score: Float, label: Float)]) -> GroupedRanking.Summary {
    var sum = 0.0
    var groups = 0
    var counted = 0
    for group in Set(samples.map(\.group)).sorted() {
      let members = samples.filter { $0.group == group }
      let positives = members.filter { $0.label == 1 }
      let negatives = members.filter { $0.label == 0 }
      guard !positives.isEmpty, !negatives.isEmpty else { continue }
      var doubled = 0
      for positive in positives {
        for negative in negatives {
          doubled += positive.score > negative.score ? 2 : positive.score == negative.score ? 1 : 0
        }
      }
      let area = Double(doubled) / 2 / (Double(positives.count) * Double(negatives.count))
      sum += area * Double(members.count)
      groups += 1
      counted += members.count
    }
    return .init(auc: groups > 0 ? sum / Double(counted) : nil, groups: groups, samples: counted)
  }

  /// Few levels make ties, many groups make some with one class, a small budget makes many runs.
  @Test(arguments: [(3, 2), (3, 900), (1 << 16, 40), (1 << 16, 900)], [2 << 10, 1 << 20])
  func matchesCountingPairsInEachGroup(shape: (levels: Int, groups: Int), budget: Int) throws {
    let (levels, groups) = shape
    let random = CounterRandom(seed: UInt64(levels + groups), stream: 6)
    let samples = (0..<2000).map { index in
      let score = Float(random.below(UInt64(levels), UInt64(3 * index))) / Float(levels - 1)
      return (
        group: UInt32(random.below(UInt64(groups), UInt64(3 * index + 1))) + (UInt32.max - 1000),
        score: score,
        label: random.uniform(UInt64(3 * index + 2)) < Double(score) ? Float(1) : 0
      )
    }
    let ranking = GroupedRanking(memoryBytes: budget, spillDirectory: NSTemporaryDirectory())
    for sample in samples {
      try ranking.add(group: sample.group, score: sample.score, label: sample.label)
    }
    #expect(try ranking.finish() == naive(samples))
  }

  @Test func groupsOfOneClassCountNowhere() throws {
    let ranking = GroupedRanking()
    for label in [Float(1), 1, 1] { try ranking.add(group: 4, score: 0.3, label: label) }
    try ranking.add(group: 9, score: 0.2, label: 0)
    #expect(try ranking.finish() == .init(auc: nil, groups: 0, samples: 0))
  }
}
