public import BatchStore
import Foundation
public import Primitives

/// What `preprocess` does.
public struct PreprocessOptions: Sendable {
  /// Files in the order of their samples; `-` is standard input. They are trained on, but for what shares, the schema or the
  /// other inputs take out.
  public var inputs: [String]
  /// Files of the validation and the test part.
  public var validInputs: [String] = []
  public var testInputs: [String] = []
  /// What the lines of all inputs are.
  public var schema = Schema.criteo
  /// The dataset to make; must not exist.
  public var output: String
  /// Samples of a batch, 1 to 65,536.
  public var batchSize = 2048
  /// Share of the samples of `inputs`, taken from the end, that is held out: at least 0, below 1. 0 where something else
  /// tells the test part.
  public var holdout = 0.1
  /// Share of them before those that is for validation. 0 where something else tells the validation part.
  public var validShare = 0.0
  /// How dense columns are stored.
  public var densePrecision = DensePrecision.fp32
  /// A value seen fewer times in training than this shares row 0 with the unseen ones; at least 1.
  public var minimumCount = 1
  /// Most rows of a table, the two reserved ones included, at least 3: beyond it the rarest values share row 0 with the unseen
  /// ones, of equal ones those that appeared last; nil for no limit.
  public var maximumRows: Int?
  /// How many buckets values are hashed to in place of a vocabulary, 1 to 2^32 - 3; nil for exact values. Only the buckets that
  /// training uses get rows.
  public var hashRows: Int?
  /// The dataset that the new one extends, if any; see `extend`.
  public private(set) var base: Dataset?
  /// Most memory of the process in bytes; nil for none. What does not fit goes through temporary files beside the output,
  /// and the result stays the same.
  public var memory: Int?
  /// Memory for the values while reading instead of their share of `memory`, so that tests spill with few values.
  var valueBytes: Int?
  /// Memory for the values of a spilled partition, likewise.
  var partitionBytes: Int?
  /// What happens at a bad line.
  public var badLines = BadLines.stop
  /// Threads that parse, number and encode; the result does not depend on it. One more reads.
  public var threads = ProcessInfo.processInfo.activeProcessorCount
  /// A segment file ends with the frame that reaches this many bytes.
  public var segmentBytes = DatasetWriter.defaultSegmentBytes

  public init(inputs: [String], output: String) {
    self.inputs = inputs
    self.output = output
  }

  /// Makes the result an extension of `dataset`, which stays as it is. Schema, statistics, batch size, precision and buckets are
  /// those of the dataset from here on.
  /// - Parameter schema: what the lines of these inputs are: the dataset's schema, but that it may split by other times; nil for the
  ///   dataset's own.
  /// - Throws: `.badInput` for a dataset that cannot be extended, `.mismatch` for another schema.
  public mutating func extend(_ dataset: Dataset, schema: Schema? = nil) throws {
    let manifest = dataset.manifest
    guard manifest.hasVocabulary, let json = manifest.schema else {
      throw ChanterError(
        .badInput,
        "nothing can be appended to this dataset: it was written from row numbers and does not know its values",
        path: dataset.path)
    }
    try dataset.requireExtensible()
    let own = try Schema(json: json, path: dataset.path)
    guard let schema = (schema ?? own).taking(statisticsOf: own) else {
      throw ChanterError(
        .mismatch,
        "this dataset has another schema: only where it splits by time may differ; leave out --schema to use its own",
        path: dataset.path)
    }
    self.schema = schema
    batchSize = manifest.batchSize
    densePrecision = manifest.densePrecision
    hashRows = try VocabularyReader(dataset.vocabularyPath).hashRows
    base = dataset
  }

  /// Training, then validation, then test.
  var allInputs: [String] { inputs + validInputs + testInputs }

  /// The same, but for inputs that were arranged.
  func reading(_ arrangement: Arrangement, path: String) -> PreprocessOptions {
    var options = self
    options.inputs = [path]
    options.validInputs = []
    options.testInputs = []
    options.schema = arrangement.schema
    return options
  }

  /// 0 for an input of `inputs`, 1 for one of `validInputs`, 2 for one of `testInputs`.
  func part(ofInput number: Int) -> Int {
    number < inputs.count ? 0 : number < inputs.count + validInputs.count ? 1 : 2
  }

  func validate() throws {
    func require(_ condition: Bool, _ message: String) throws {
      if !condition { throw ChanterError(.badInput, message) }
    }
    try require(
      !schema.namesParts || holdout == 0 && validShare == 0 && validInputs.isEmpty && testInputs.isEmpty,
      "the schema splits by time or by a column; leave out shares, and validation and test inputs")
    try require(holdout == 0 || testInputs.isEmpty, "there are test inputs; leave out the held-out share")
    try require(
      validShare == 0 || validInputs.isEmpty, "there are validation inputs; leave out the validation share")
    try require(
      validShare >= 0 && validShare + holdout < 1,
      "the shares for validation and test are \(validShare) and \(holdout); each must be at least 0, and together"
        + " they must be below 1")
    try require(!inputs.isEmpty, "there is no input; give at least one file, or - for standard input")
    try require(
      allInputs.count { $0 == "-" } <= 1,
      "standard input (-) is given more than once; it can be read only once")
    try require(
      (1...Manifest.maximumBatchSize).contains(batchSize),
      "the batch size is \(batchSize); it must be 1 to \(Manifest.maximumBatchSize)")
    try require(
      holdout >= 0 && holdout < 1, "the held-out share is \(holdout); it must be at least 0 and below 1")
    if let base {
      try require(
        Self.canonical(base.path) != Self.canonical(output),
        "--append makes a new dataset and leaves the old one as it is: give --out another path")
    }
    try require(threads >= 1, "the number of threads is \(threads); it must be at least 1")
    if case .skip(let limit) = badLines {
      try require(limit >= 0, "the most bad lines are \(limit); it must be at least 0")
    }
    try require(minimumCount >= 1, "the minimum count is \(minimumCount); it must be at least 1")
    if let maximumRows {
      try require(maximumRows >= 3, "the most rows of a table are \(maximumRows); they must be at least 3")
    }
    if let hashRows {
      try require(
        (1...Int(UInt32.max) - 2).contains(hashRows),
        "values are to be hashed to \(hashRows) buckets; it must be 1 to \(Int(UInt32.max) - 2)")
    }
  }
}

extension PreprocessOptions {
  private static func canonical(_ path: String) -> String {
    URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
  }
}

/// What `preprocess` does about a line that breaks the format.
public enum BadLines: Equatable, Sendable {
  /// The first one ends the run with an error.
  case stop
  /// They are left out and counted; one more than `atMost` ends the run.
  case skip(atMost: Int)
}

/// The lines that were left out.
public struct SkippedLines: Codable, Sendable {
  /// How many messages are kept.
  public static let shown = 10

  public private(set) var count = 0
  /// By `LineReason.rawValue`.
  private var counts = [Int](repeating: 0, count: LineReason.allCases.count)
  private struct Line: Codable {
    var path: String
    var line: Int
    var message: String
  }
  private var firstLines: [Line] = []
  /// The first ten, with path and line.
  public var first: [ChanterError] {
    firstLines.map { ChanterError(.badInput, $0.message, path: $0.path, line: $0.line) }
  }

  public init() {}

  /// Lines that were left out for this reason.
  public func count(_ reason: LineReason) -> Int { counts[reason.rawValue] }

  /// Adds the bad lines of a block that starts after `lines` lines of the input `path`.
  mutating func add(_ problems: LineProblems, path: String, after lines: Int) {
    for (reason, count) in problems.counts.enumerated() {
      counts[reason] += count
      self.count += count
    }
    firstLines += problems.errors(path: path, after: lines).prefix(Self.shown - firstLines.count).map {
      Line(path: path, line: $0.line ?? 0, message: $0.message)
    }
  }
}

/// Where `preprocess` is.
public struct PreprocessProgress: Sendable {
  public enum Phase: String, Sendable {
    /// Only where time or a column orders or splits, and for quantiles.
    case arranging = "ordering lines"
    case reading = "reading"
    /// Only beyond a memory limit.
    case counting = "counting values on disk"
    case numbering = "numbering values"
    case resolving = "giving values on disk their rows"
    case encoding = "encoding"
    case nextUses = "finding next uses"
    case writing = "writing batches"
  }

  public let phase: Phase
  /// Samples done in this phase; parts of the values while numbering, batches in the last two.
  public let done: Int
  /// All of them; an estimate by the bytes read while reading, and 0 if it is unknown.
  public let total: Int
}

/// What `preprocess` made.
public struct PreprocessReport: Sendable {
  public let manifest: Manifest
  /// Held-out values that are not empty, and those of them that have no row of their own.
  public let holdoutValues: Int
  public let holdoutUnseen: Int
  /// Lines that were left out because they break the format.
  public let skipped: SkippedLines
  /// What each minimum count would have kept; a limit of rows is not looked at.
  public let thresholds: ThresholdCounts
  /// Bytes of the vocabulary and of all segments.
  public let bytes: Int

  /// Share of the held-out values that are unseen or rare, 0 without any.
  public var unseenShare: Double { holdoutValues == 0 ? 0 : Double(holdoutUnseen) / Double(holdoutValues) }
}
