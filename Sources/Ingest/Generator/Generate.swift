import Metrics
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// What `generate` makes.
public struct GenerateOptions: Sendable {
  /// The file to make; must not exist.
  public var output: String
  /// Lines, at least 1.
  public var samples: Int
  /// Distinct values that exist, all 26 columns together: 1,000 to 2^32. Many occur once or never.
  public var rows: Int
  public var seed: UInt64

  public init(output: String, samples: Int = 300_000, rows: Int = 100_000, seed: UInt64 = 1) {
    self.output = output
    self.samples = samples
    self.rows = rows
    self.seed = seed
  }
}

/// The planted model measured on the samples that were made: the best that any model can do.
public struct GenerateReport: Equatable, Sendable {
  public let samples: Int
  /// Nil if all labels came out equal.
  public let plantedAUC: Double?
  public let plantedLogLoss: Double
  public let labelMean: Double
}

/// Writes a log in Criteo's layout with skewed values and labels from a planted model. The same options give the same
/// bytes; memory depends on neither samples nor rows. The file has its name only when it is whole.
/// - Parameter progress: called with the samples done, about every 10,000.
public func generate(
  _ options: GenerateOptions, progress: (_ done: Int) throws -> Void = { _ in }
) throws -> GenerateReport {
  guard options.samples >= 1 else {
    throw ChanterError(.badInput, "the number of samples is \(options.samples); it must be at least 1")
  }
  guard (PlantedLog.leastRows...(1 << 32)).contains(options.rows) else {
    throw ChanterError(
      .badInput, "the number of rows is \(options.rows); it must be \(PlantedLog.leastRows) to \(1 << 32)")
  }
  let output = try NewFile(options.output)
  let report = try write(options, to: output.file, progress)
  try output.publish()
  return report
}

private func write(
  _ options: GenerateOptions, to file: File, _ progress: (Int) throws -> Void
) throws -> GenerateReport {
  let log = PlantedLog(sampleCount: options.samples, rows: options.rows, seed: options.seed)
  let metrics = RankingMetrics(spillDirectory: File.parent(of: options.output))
  var sample = PlantedSample()
  var text = TextBuffer()
  for index in 0..<options.samples {
    log.draw(UInt64(index), into: &sample)
    text.append(sample)
    try metrics.add(score: Float(sample.probability), label: sample.label ? 1 : 0)
    if text.isFull { try text.flush(to: file) }
    if (index + 1) % 10_000 == 0 { try progress(index + 1) }
  }
  try text.flush(to: file)
  let summary = try metrics.finish()
  return GenerateReport(
    samples: summary.samples, plantedAUC: summary.auc, plantedLogLoss: summary.logLoss,
    labelMean: summary.meanLabel)
}

/// Lines on their way to the file.
private struct TextBuffer {
  /// Longest line: label, 13 integers of 11 characters, 26 values of 8, separators.
  private static let lineBytes = 512
  private let bytes = AlignedBuffer<UInt8>(count: 1 << 18)
  private var count = 0

  var isFull: Bool { bytes.count - count < Self.lineBytes }

  mutating func flush(to file: File) throws {
    try file.write(UnsafeRawBufferPointer(start: bytes.base, count: count))
    count = 0
  }

  mutating func append(_ sample: PlantedSample) {
    put(sample.label ? 49 : 48)
    for integer in sample.integers {
      put(9)
      if let integer { put(decimal: integer) }
    }
    for column in 0..<sample.values.count {
      put(9)
      if sample.ranks[column] != PlantedSample.empty { put(hexadecimal: sample.values[column]) }
    }
    put(10)
  }

  private mutating func put(_ byte: UInt8) {
    bytes.base[count] = byte
    count += 1
  }

  private mutating func put(decimal integer: Int64) {
    if integer < 0 { put(45) }
    var scale: UInt64 = 1
    while integer.magnitude / scale >= 10 { scale *= 10 }
    while scale > 0 {
      put(48 + UInt8(integer.magnitude / scale % 10))
      scale /= 10
    }
  }

  private mutating func put(hexadecimal value: UInt32) {
    for digit in stride(from: 28, through: 0, by: -4) {
      let nibble = UInt8(truncatingIfNeeded: (value >> digit) & 15)
      put(nibble < 10 ? 48 + nibble : 87 + nibble)
    }
  }
}
