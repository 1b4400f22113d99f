import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Measures of binary predictions, exact in bounded memory.
///
/// Feed every sample with `add`, in a fixed order, then call `finish` once. Scores with their labels are kept as 32-bit
/// keys (4 bytes, and 4 to sort) up to the budget; beyond it sorted runs go to a temporary file and are merged at the
/// end, 4 bytes a sample. With M bytes of memory M²/32 samples can be ranked: 100 million need 57 KiB, and
/// 80 bytes for each of their 14,000 runs.
public final class RankingMetrics {
  /// The measures of all samples. Those that need both classes, or a positive label, are nil without.
  public struct Summary: Equatable, Sendable {
    public let samples: Int
    /// Area under the ROC curve: the share of (positive, negative) pairs that are ranked right, ties counted half
    /// (Mann and Whitney). Exact up to the final division.
    public let auc: Double?
    /// Mean negative log likelihood, natural logarithm, with probabilities clamped to 1e-7 … 1 - 1e-7.
    public let logLoss: Double
    /// Share of samples whose label is the likelier class, a probability of 0.5 counting as positive.
    public let accuracy: Double
    public let meanPrediction: Double
    public let meanLabel: Double
    /// Mean prediction over mean label.
    public let calibration: Double?
    /// Log loss over the entropy of the mean label (He et al., "Practical Lessons from Predicting Clicks on Ads at
    /// Facebook", 2014, section 3).
    public let normalizedEntropy: Double?
  }

  private let keys: KeySorter<UInt32>
  private var samples = 0
  private var positives = 0
  private var correct = 0
  private var lossSum = 0.0
  private var predictionSum = 0.0

  /// - Parameters:
  ///   - memoryBytes: budget for the keys; at least 1 KiB is used. 64 MiB holds 8 million samples.
  ///   - spillDirectory: where the temporary file lies if the budget is not enough.
  public init(memoryBytes: Int = 64 << 20, spillDirectory: String = "/tmp") {
    keys = KeySorter(memoryBytes: memoryBytes, spillDirectory: spillDirectory)
  }

  /// Adds one sample.
  /// - Parameters:
  ///   - score: probability of the positive class, in 0 … 1; anything else is an error.
  ///   - label: 0 or 1.
  public func add(score: Float, label: Float) throws {
    guard score >= 0, score <= 1 else {
      throw ChanterError(.badInput, "the prediction of sample \(samples) is \(score), not a probability")
    }
    let isPositive = label != 0
    try keys.add(RankingKey.make(score: score, isPositive: isPositive))
    samples += 1
    if isPositive { positives += 1 }
    if (score >= 0.5) == isPositive { correct += 1 }
    let clamped = min(max(Double(score), 1e-7), 1 - 1e-7)
    lossSum -= isPositive ? log(clamped) : log(1 - clamped)
    predictionSum += Double(score)
  }

  /// The measures of everything that was added. Call once; at least one sample.
  public func finish() throws -> Summary {
    precondition(samples > 0, "metrics of no sample")
    var counter = PairCounter()
    try keys.forEach { counter.add($0) }
    let total = Double(samples)
    let meanLabel = Double(positives) / total
    let hasBoth = positives > 0 && positives < samples
    let entropy = -(meanLabel * log(meanLabel) + (1 - meanLabel) * log(1 - meanLabel))
    return Summary(
      samples: samples, auc: counter.area(), logLoss: lossSum / total, accuracy: Double(correct) / total,
      meanPrediction: predictionSum / total, meanLabel: meanLabel,
      calibration: positives > 0 ? predictionSum / Double(positives) : nil,
      normalizedEntropy: hasBoth ? lossSum / total / entropy : nil)
  }
}
