/// Counts the (positive, negative) pairs that are ranked right, over scores in ascending order: the numerator of the area
/// under the ROC curve (Mann and Whitney). Doubled, so that ties count half in whole numbers.
struct PairCounter {
  private(set) var positives = 0
  private(set) var negatives = 0
  private var score: UInt32 = .max
  private var tiedNegatives = 0
  private var tiedPositives = 0
  private var doubledPairs: UInt128 = 0

  /// - Parameter key: `RankingKey` of a sample.
  mutating func add(_ key: UInt32) {
    if key >> 1 != score {
      endGroup()
      score = key >> 1
    }
    if key & 1 == 1 { tiedPositives += 1 } else { tiedNegatives += 1 }
  }

  private mutating func endGroup() {
    doubledPairs += UInt128(tiedPositives) * UInt128(2 * negatives + tiedNegatives)
    negatives += tiedNegatives
    positives += tiedPositives
    tiedNegatives = 0
    tiedPositives = 0
  }

  /// The area of everything added, exact up to the final division; nil without both classes.
  mutating func area() -> Double? {
    endGroup()
    guard positives > 0, negatives > 0 else { return nil }
    return Double(doubledPairs) / 2 / (Double(positives) * Double(negatives))
  }
}

/// A score with its label in 32 bits, ordered by score.
enum RankingKey {
  /// - Parameter score: in 0 … 1. Bits of a float that is not negative order as the floats do; adding 0 makes -0 a
  ///   plain 0. A score up to 1 leaves the highest bits free.
  @inline(__always)
  static func make(score: Float, isPositive: Bool) -> UInt32 {
    (score + 0).bitPattern << 1 | (isPositive ? 1 : 0)
  }
}
