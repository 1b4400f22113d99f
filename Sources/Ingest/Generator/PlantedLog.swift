import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A log that never was, with a model behind its labels. Sample i is a function of the seed and i only.
///
/// The logit is a sum of one effect per categorical value, a smooth function of log(1 + max(x, 0)) per integer, and
/// effects of pairs of values of small columns. It is scaled, over the first 4,096 samples, to a standard deviation that
/// gives an AUC of about 0.8 and shifted to a label mean of 0.25.
struct PlantedLog {
  static let leastRows = 1000
  private static let labelMean = 0.25
  private static let logitDeviation = 1.4
  private static let calibrationSamples = 4096
  /// Sizes of the columns without tail, as days, device types and the like have them.
  private static let smallColumns: [UInt64] = [3, 4, 6, 10, 15, 20, 30, 50]
  /// Pairs of small columns with effects of their own.
  private static let pairs = [(0, 1), (1, 2), (0, 3), (2, 3)]
  /// The largest column has this many times the tail of the smallest that has one.
  private static let tailRatio = 40.0
  private static let pairWeight = 0.3
  private static let integerWeight = 0.6

  private let columns: [PlantedColumn]
  private let integers: [PlantedInteger]
  private let pairEffects: CounterRandom
  private let samples: CounterRandom
  private var center = 0.0
  private var scale = 1.0
  private var bias = 0.0

  /// - Parameters:
  ///   - sampleCount: of the log, for expected occurrences.
  ///   - rows: values of all columns together, 1,000 to 2^32.
  init(sampleCount: Int, rows: Int, seed: UInt64) {
    let root = CounterRandom(seed: seed, stream: 2)
    samples = CounterRandom(root, 1)
    pairEffects = CounterRandom(root, 2)
    let effects = CounterRandom(root, 3)
    let shapes = CounterRandom(root, 4)
    let small = Self.smallColumns.count
    let large = CriteoLayout.categoryCount - small
    let smallTotal = Self.smallColumns.reduce(0, +)
    // One value in a hundred is hot.
    let hot = UInt64(max(8, (rows / 100 - Int(smallTotal)) / large))
    let tail = Double(rows) - Double(smallTotal) - Double(hot) * Double(large)
    let weights = (0..<large).map { pow(Self.tailRatio, Double($0) / Double(large - 1)) }
    let weightSum = weights.reduce(0, +)
    columns = (0..<CriteoLayout.categoryCount).map { column in
      let isSmall = column < small
      return PlantedColumn(
        hotCount: isSmall ? Self.smallColumns[column] : hot,
        tailCount: isSmall ? 0 : max(1, UInt64(tail * weights[column - small] / weightSum)),
        // Every third column is sometimes empty, up to one sample in five.
        emptyShare: column % 3 == 2 ? 0.2 * shapes.uniform(UInt64(column)) : 0, samples: sampleCount,
        number: column, effects: CounterRandom(effects, UInt64(column)))
    }
    integers = (0..<CriteoLayout.integerCount).map { PlantedInteger($0, CounterRandom(shapes, UInt64($0))) }
    calibrate()
  }

  private mutating func calibrate() {
    var draw = PlantedSample()
    let raw = (0..<Self.calibrationSamples).map { index in
      self.draw(UInt64(index), into: &draw)
      return draw.raw
    }
    let mean = raw.reduce(0, +) / Double(raw.count)
    let variance = raw.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(raw.count)
    center = mean
    scale = Self.logitDeviation / variance.squareRoot()
    var low = -10.0
    var high = 10.0
    for _ in 0..<50 {
      bias = (low + high) / 2
      let rate = raw.reduce(0) { $0 + probability(raw: $1) } / Double(raw.count)
      if rate < Self.labelMean { low = bias } else { high = bias }
    }
  }

  private func probability(raw: Double) -> Double { 1 / (1 + exp(-(bias + scale * (raw - center)))) }

  /// Fills `target` with sample `index`. The counters of a sample's own stream name what each number is for.
  func draw(_ index: UInt64, into target: inout PlantedSample) {
    let own = CounterRandom(samples, index)
    var raw = 0.0
    for (number, column) in columns.enumerated() {
      let counter = UInt64(4 * number)
      if own.uniform(counter) < column.emptyShare {
        target.ranks[number] = PlantedSample.empty
        continue
      }
      let rank = column.rank(choice: own.uniform(counter + 1), position: own.uniform(counter + 2))
      target.ranks[number] = rank
      target.values[number] = column.value(of: rank)
      raw += column.effect(of: rank)
    }
    for (number, pair) in Self.pairs.enumerated() {
      let (first, second) = (target.ranks[pair.0], target.ranks[pair.1])
      if first == PlantedSample.empty || second == PlantedSample.empty { continue }
      raw += Self.pairWeight * pairEffects.normal(UInt64(number) << 32 | first << 16 | second)
    }
    for (number, integer) in integers.enumerated() {
      let counter = UInt64(200 + 4 * number)
      let value = integer.value(
        presence: own.uniform(counter), sign: own.uniform(counter + 1), size: own.normal(300 + UInt64(number))
      )
      target.integers[number] = value
      raw += Self.integerWeight * integer.effect(of: value)
    }
    target.raw = raw
    target.probability = probability(raw: raw)
    target.label = own.uniform(1000) < target.probability
  }
}

/// One drawn sample, reused from sample to sample.
struct PlantedSample {
  static let empty = UInt64.max

  /// Rank of each categorical value, or `empty`.
  var ranks = [UInt64](repeating: 0, count: CriteoLayout.categoryCount)
  var values = [UInt32](repeating: 0, count: CriteoLayout.categoryCount)
  var integers = [Int64?](repeating: nil, count: CriteoLayout.integerCount)
  var raw = 0.0
  var probability = 0.0
  var label = false
}

/// One integer column: floor of a log-normal number, sometimes empty or negative.
struct PlantedInteger {
  private let location: Double
  private let spread: Double
  private let emptyShare: Double
  private let negativeShare: Double
  private let slope: Double
  private let bend: Double

  init(_ number: Int, _ random: CounterRandom) {
    location = 0.5 + 4 * random.uniform(0)
    spread = 0.8 + 1.2 * random.uniform(1)
    emptyShare = number % 3 == 0 ? 0.4 * random.uniform(2) : 0
    negativeShare = number == 1 ? 0.1 : 0
    slope = random.normal(10)
    bend = random.normal(11)
  }

  func value(presence: Double, sign: Double, size: Double) -> Int64? {
    if presence < emptyShare { return nil }
    if sign < negativeShare { return sign < negativeShare / 2 ? -1 : -2 }
    return Int64(min(1e9, exp(location + spread * size)))
  }

  /// Linear and quadratic in what a model sees of the value, standardised and cut at three deviations.
  func effect(of value: Int64?) -> Double {
    let seen = Double(CriteoLayout.denseValue(value))
    let standard = min(3, max(-3, (seen - location) / spread))
    return slope * standard + 0.2 * bend * (standard * standard - 1)
  }
}
