import Foundation
import Metrics
import Primitives
import Testing

@Suite struct RankingMetricsTests {
  static func samples(_ count: Int, levels: UInt64, seed: UInt64) -> [(score: Float, label: Float)] {
    let random = CounterRandom(seed: seed, stream: 3)
    return (0..<count).map { index in
      let score = Float(random.below(levels, UInt64(2 * index))) / Float(levels - 1)
      return (score, random.uniform(UInt64(2 * index + 1)) < Double(score) ? 1 : 0)
    }
  }

  /// Few levels make many ties; a small budget makes many runs.
  @Test(arguments: [2, 7, 1 << 20], [1 << 10, 1 << 13, 1 << 20])
  func aucMatchesCountingPairs(levels: Int, budget: Int) throws {
    let samples = Self.samples(3000, levels: UInt64(levels), seed: UInt64(levels))
    let metrics = RankingMetrics(memoryBytes: budget, spillDirectory: NSTemporaryDirectory())
    for sample in samples { try metrics.add(score: sample.score, label: sample.label) }
    let result = try metrics.finish()
    let positives = samples.filter { $0.label == 1 }.map(\.score)
    let negatives = samples.filter { $0.label == 0 }.map(\.score)
    var doubled = 0
    for positive in positives {
      for negative in negatives { doubled += positive > negative ? 2 : positive == negative ? 1 : 0 }
    }
    #expect(result.auc == Double(doubled) / 2 / (Double(positives.count) * Double(negatives.count)))
    #expect(result.samples == 3000)
  }

  @Test func otherMeasuresMatchTheirDefinitions() throws {
    let samples = Self.samples(500, levels: 11, seed: 1)
    let metrics = RankingMetrics()
    var loss = 0.0
    for sample in samples {
      try metrics.add(score: sample.score, label: sample.label)
      let clamped = min(max(Double(sample.score), 1e-7), 1 - 1e-7)
      loss -= sample.label == 1 ? log(clamped) : log(1 - clamped)
    }
    let result = try metrics.finish()
    let labels = samples.map { Double($0.label) }.reduce(0, +) / 500
    let predictions = samples.map { Double($0.score) }.reduce(0, +) / 500
    #expect(result.logLoss == loss / 500)
    let correct = samples.count { ($0.score >= 0.5) == ($0.label == 1) }
    #expect(result.accuracy == Double(correct) / 500)
    #expect(result.meanLabel == labels && abs(result.meanPrediction - predictions) < 1e-12)
    #expect(abs((result.calibration ?? 0) - predictions / labels) < 1e-12)
    let entropy = -(labels * log(labels) + (1 - labels) * log(1 - labels))
    #expect(abs((result.normalizedEntropy ?? 0) - loss / 500 / entropy) < 1e-12)
  }

  @Test(arguments: [Float(0), 1])
  func oneClassHasNoAUC(label: Float) throws {
    let metrics = RankingMetrics()
    for score in [Float(0), 0.3, 1] { try metrics.add(score: score, label: label) }
    let result = try metrics.finish()
    #expect(result.auc == nil && result.normalizedEntropy == nil && result.logLoss.isFinite)
    #expect((result.calibration == nil) == (label == 0))
  }

  @Test(arguments: [Float.nan, -0.1, 1.1, .infinity])
  func whatIsNoProbabilityIsRefused(score: Float) {
    #expect(throws: ChanterError.self) { try RankingMetrics().add(score: score, label: 1) }
  }

  @Test func negativeZeroTiesWithZero() throws {
    let metrics = RankingMetrics()
    try metrics.add(score: -0.0, label: 1)
    try metrics.add(score: 0, label: 0)
    #expect(try metrics.finish().auc == 0.5)
  }
}
