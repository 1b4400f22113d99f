import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// One categorical column of a generated log: which value a sample has, how often a value is expected, and what it adds
/// to the planted model. All from closed forms, so memory does not depend on the number of values.
///
/// A few hot values take most accesses and a long tail the rest, each with probability ln((r + 1) / r) / ln(n + 1) for
/// rank r of n: Zipf's law with exponent 1, drawn as floor((n + 1)^u).
struct PlantedColumn {
  /// Share of the accesses that the hot values of a column with a tail take. With 26 columns, 8 of them without tail,
  /// the most frequent 1% of all values then take about 90% of all accesses.
  private static let hotShare = 0.84
  /// Expected occurrences below which a value has no effect.
  static let leastOccurrences = 20.0
  /// Values with about this many occurrences have half their effect: what a model can hardly learn weighs little.
  private static let halfOccurrences = 1000.0

  let hotCount: UInt64
  let tailCount: UInt64
  let emptyShare: Double
  /// Expected samples in which the column is not empty.
  private let occurrences: Double
  private let hotLogarithm: Double
  private let tailLogarithm: Double
  private let key: UInt32
  private let effects: CounterRandom

  /// - Parameters:
  ///   - samples: of the whole log, for expected occurrences.
  ///   - number: of the column, from 0.
  ///   - effects: the stream of the column's effects.
  init(
    hotCount: UInt64, tailCount: UInt64, emptyShare: Double, samples: Int, number: Int, effects: CounterRandom
  ) {
    self.hotCount = hotCount
    self.tailCount = tailCount
    self.emptyShare = emptyShare
    self.effects = effects
    occurrences = Double(samples) * (1 - emptyShare)
    hotLogarithm = log(Double(hotCount + 1))
    tailLogarithm = log(Double(tailCount + 1))
    key = UInt32(truncatingIfNeeded: effects.bits(.max) &+ UInt64(number))
  }

  private var hotShare: Double { tailCount == 0 ? 1 : Self.hotShare }

  /// The value of a sample, as a rank from 0, hot ones first.
  /// - Parameters:
  ///   - choice: uniform in 0 ..< 1: hot or tail.
  ///   - position: uniform in 0 ..< 1: which.
  func rank(choice: Double, position: Double) -> UInt64 {
    if choice < hotShare { return draw(position, hotCount, hotLogarithm) }
    return hotCount + draw(position, tailCount, tailLogarithm)
  }

  private func draw(_ position: Double, _ count: UInt64, _ logarithm: Double) -> UInt64 {
    min(count, max(1, UInt64(exp(position * logarithm)))) - 1
  }

  /// What the value adds to the planted logit, before scaling.
  func effect(of rank: UInt64) -> Double {
    let expected = expectedOccurrences(of: rank)
    guard expected >= Self.leastOccurrences else { return 0 }
    return effects.normal(rank) * expected / (expected + Self.halfOccurrences)
  }

  /// Samples of the log that are expected to have this value.
  func expectedOccurrences(of rank: UInt64) -> Double {
    let isHot = rank < hotCount
    let place = Double(isHot ? rank + 1 : rank - hotCount + 1)
    let share = isHot ? hotShare : 1 - hotShare
    return occurrences * share * log1p(1 / place) / (isHot ? hotLogarithm : tailLogarithm)
  }

  /// The raw value: a permutation of the 32-bit numbers, so two ranks never share one (finaliser of MurmurHash3).
  func value(of rank: UInt64) -> UInt32 {
    var hash = UInt32(truncatingIfNeeded: rank) ^ key
    hash = (hash ^ (hash >> 16)) &* 0x85EB_CA6B
    hash = (hash ^ (hash >> 13)) &* 0xC2B2_AE35
    return hash ^ (hash >> 16)
  }
}
