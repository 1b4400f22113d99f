import BatchStore
import Foundation
import Primitives

/// A click log with the skew of Criteo's Kaggle log, made sample by sample from its position alone, so that any part of a
/// log of any length costs no more than that part.
///
/// The 26 features have the distinct values of that log. The values of a large feature follow a Pitman-Yor process
/// (Pitman and Yor 1997) of a discount d, of which only what a cache can notice is kept: the number of values seen grows as the
/// power d of the position, the share d of them (81% here) occurs once, and the 2% that occur 16 times and more are drawn
/// by a power law whose rarest rank occurs 16 times. Rows are numbered as preprocessing numbers them: the frequent values by
/// frequency, then the others in order of first appearance. Small features are drawn by a power law alone.
struct ClickTrace {
  private struct Table {
    let name: String
    let frequentRows: Int
    /// (frequentRows + 1) to the power of `inverse`, and the exponents of the power law's inverse.
    let head: Double
    let inverse: Double
    /// Values that occur fewer than 16 times, and how their number grows.
    let rareRows: Double
    let discount: Double
    /// Share of a rare value that was seen before among the accesses that meet no new value.
    let repeats: Double

    var rows: Int { 2 + frequentRows + Int(rareRows) }
  }

  /// Samples of the Kaggle log, and the distinct values of its features.
  private static let kaggleSamples = 45_840_617.0
  private static let kaggleValues = [
    1460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5683, 8_351_593, 3194, 27, 14_992,
    5_461_306, 10, 5652, 2173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572,
  ]
  static let denseCount = 13
  private static let frequentFrom = 16
  /// Features with fewer values have as many in a log of any length.
  private static let smallest = 20_000

  private let tables: [Table]
  private let random: CounterRandom
  /// Samples of the whole log.
  let samples: Int

  /// - Parameter rows: of all tables together, nearly: the values of the large features and the length of the log have the
  ///   proportions of Kaggle's.
  init(rows: Int, seed: UInt64) {
    let small = Self.kaggleValues.reduce(0) { $0 + ($1 < Self.smallest ? $1 : 0) }
    let large = Self.kaggleValues.reduce(0) { $0 + ($1 < Self.smallest ? 0 : $1) }
    let scale = Double(rows - small) / Double(large)
    let log = Self.kaggleSamples * scale
    samples = Int(log)
    random = CounterRandom(seed: seed, stream: 11)
    tables = Self.kaggleValues.enumerated().map { index, values in
      Self.table("C\(index + 1)", values: Double(values), scale: scale, samples: log)
    }
  }

  var layouts: [TableLayout] { tables.map { TableLayout(name: $0.name, rows: UInt32($0.rows)) } }
  var rows: Int { tables.reduce(0) { $0 + $1.rows } }

  private static func table(_ name: String, values: Double, scale: Double, samples: Double) -> Table {
    if values < Double(smallest) {
      let exponent = 1.1
      return Table(
        name: name, frequentRows: Int(values), head: pow(values + 1, 1 - exponent), inverse: 1 - exponent,
        rareRows: 0, discount: 1, repeats: 0)
    }
    let discount = values > 1e6 ? 0.82 : values > 2e5 ? 0.6 : 0.5
    // The share of values that occur j times or more: Γ(j - d) / (Γ(1 - d) Γ(j)).
    func share(from count: Int) -> Double {
      exp(lgamma(Double(count) - discount) - lgamma(1 - discount) - lgamma(Double(count)))
    }
    let all = values * scale
    let limit = frequentFrom
    let frequent = (all * share(from: limit)).rounded()
    let rare = all - frequent
    // Accesses of rare values beside their first ones.
    let repeated =
      all * ((1..<limit).reduce(0) { $0 + share(from: $1) } - Double(limit - 1) * share(from: limit)) - rare
    let exponent = headExponent(ranks: frequent, accesses: samples - rare - repeated)
    return Table(
      name: name, frequentRows: Int(frequent), head: pow(frequent + 1, 1 - exponent), inverse: 1 - exponent,
      rareRows: rare.rounded(), discount: discount, repeats: repeated / (samples - rare))
  }

  /// The power law over `ranks` ranks whose last one has 16 accesses and all together have `accesses`, by bisection.
  private static func headExponent(ranks: Double, accesses: Double) -> Double {
    var low = 0.01
    var high = 4.0
    for _ in 0..<60 {
      let middle = (low + high) / 2
      let sum = Double(frequentFrom) * pow(ranks, middle) * (pow(ranks, 1 - middle) - 1) / (1 - middle)
      if sum < accesses { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }

  /// Fills `batch` with the samples of the log from `first` on.
  func fill(_ batch: SampleBatch, first: Int, count: Int) {
    batch.sampleCount = count
    for (number, table) in tables.enumerated() {
      let column = batch.rows.base + number * batch.capacity
      let draws = CounterRandom(random, UInt64(number))
      var seen = seen(table, before: first)
      for index in 0..<count {
        let sample = first + index
        let next = self.seen(table, before: sample + 1)
        column[index] = UInt32(truncatingIfNeeded: Self.row(table, draws, sample, seen: seen, next: next))
        seen = next
      }
    }
    let others = CounterRandom(random, 1 << 32)
    let labels = CounterRandom(random, 1 << 33)
    for index in 0..<count {
      for column in 0..<Self.denseCount {
        let place = index * Self.denseCount + column
        batch.dense.base[place] = Self.dense(others, UInt64(2 * (first * Self.denseCount + place)))
      }
      batch.labels.base[index] = labels.uniform(UInt64(first + index)) < 0.256 ? 1 : 0
    }
  }

  /// The logarithm of 1 and a count, of which a quarter are 0 and the others have a long tail, as Criteo's have.
  private static func dense(_ random: CounterRandom, _ counter: UInt64) -> Float {
    if random.uniform(counter) < 0.25 { return 0 }
    return log(1 + Float(exp(1.5 + 1.6 * random.normal(counter + 1))).rounded(.down))
  }

  /// Rare values that the samples before this one have.
  private func seen(_ table: Table, before sample: Int) -> Int {
    guard table.rareRows > 0 else { return 0 }
    return Int(table.rareRows * pow(Double(sample) / Double(samples), table.discount))
  }

  private static func row(
    _ table: Table, _ draws: CounterRandom, _ sample: Int, seen: Int, next: Int
  ) -> Int {
    if next > seen { return 2 + table.frequentRows + seen }
    let counter = UInt64(sample) * 4
    if seen > 0, draws.uniform(counter) < table.repeats {
      // A fifth of the rare values occurs again, half of these twice as often as the others, and so on four times over.
      let bits = draws.bits(counter + 1)
      let stride = 5 << min(4, bits.trailingZeroBitCount)
      let choices = UInt64(seen / stride)
      let place = choices == 0 ? 0 : Int(draws.below(choices, counter + 2)) * stride
      return 2 + table.frequentRows + place
    }
    let drawn = 1 + draws.uniform(counter + 3) * (table.head - 1)
    let rank = Int(pow(drawn, 1 / table.inverse))
    return 1 + min(max(rank, 1), table.frequentRows)
  }
}
