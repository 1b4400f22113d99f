public import BatchStore
import Primitives

/// What `preprocess` does.
public struct PreprocessOptions: Sendable {
  /// Criteo TSV files in the order of their samples; `-` is standard input.
  public var inputs: [String]
  /// The dataset to make; must not exist.
  public var output: String
  /// Samples of a batch, 1 to 65,536.
  public var batchSize = 2048
  /// Share of all samples, taken from the end, that is held out: at least 0, below 1.
  public var holdout = 0.1
  /// A value seen fewer times in training than this shares row 0 with the unseen ones; at least 1.
  public var minimumCount = 1
  /// A segment file ends with the frame that reaches this many bytes.
  public var segmentBytes = DatasetWriter.defaultSegmentBytes

  public init(inputs: [String], output: String) {
    self.inputs = inputs
    self.output = output
  }

  func validate() throws {
    func require(_ condition: Bool, _ message: String) throws {
      if !condition { throw ChanterError(.badInput, message) }
    }
    try require(!inputs.isEmpty, "there is no input; give at least one file, or - for standard input")
    try require(
      inputs.count { $0 == "-" } <= 1, "standard input (-) is given more than once; it can be read only once")
    try require(
      (1...Manifest.maximumBatchSize).contains(batchSize),
      "the batch size is \(batchSize); it must be 1 to \(Manifest.maximumBatchSize)")
    try require(
      holdout >= 0 && holdout < 1, "the held-out share is \(holdout); it must be at least 0 and below 1")
    try require(minimumCount >= 1, "the minimum count is \(minimumCount); it must be at least 1")
  }
}

/// Where `preprocess` is: samples done of all in this phase (batches in the last). `total` is 0 while it is unknown.
public struct PreprocessProgress: Sendable {
  public enum Phase: String, Sendable {
    case counting = "counting lines"
    case vocabulary = "collecting values"
    case encoding = "encoding"
    case nextUses = "writing batches"
  }

  public let phase: Phase
  public let done: Int
  public let total: Int
}

/// What `preprocess` made.
public struct PreprocessReport: Sendable {
  public let manifest: Manifest
  /// Held-out values that are not empty, and those of them that have no row of their own.
  public let holdoutValues: Int
  public let holdoutUnseen: Int
  /// Bytes of the vocabulary and of all segments.
  public let bytes: Int

  /// Share of the held-out values that are unseen or rare, 0 without any.
  public var unseenShare: Double { holdoutValues == 0 ? 0 : Double(holdoutUnseen) / Double(holdoutValues) }
}

/// Turns Criteo TSV into a dataset.
///
/// The inputs are read three times (standard input is copied to a temporary file first): lines are counted, which says where the held-out samples begin; the values of the
/// training part are counted, which gives the row numbers; every sample is encoded. Memory grows with distinct values,
/// never with samples. On any error nothing named `options.output` exists and what was begun is removed.
/// - Parameter progress: called about every 10,000 samples; throwing from it stops the run.
public func preprocess(
  _ options: PreprocessOptions, progress: (PreprocessProgress) throws -> Void = { _ in }
) throws -> PreprocessReport {
  try options.validate()
  let output = try PendingOutput(options.output)
  let inputs = try options.inputs.map { try Input($0, spoolDirectory: output.directory) }
  var samples = 0
  for input in inputs {
    samples += try input.countLines {
      try progress(PreprocessProgress(phase: .counting, done: samples + $0, total: 0))
    }
  }
  let training = samples - heldOut(of: samples, share: options.holdout)

  let vocabularyPath = output.file(VocabularyFile.fileName)
  let identity = try writeVocabulary(
    of: inputs, training: training, minimumCount: options.minimumCount, to: vocabularyPath, progress)
  let vocabularyBytes = try File(reading: vocabularyPath).size()

  let vocabulary = try VocabularyFile.load(vocabularyPath)
  let writer = try DatasetWriter(
    to: output, tables: vocabulary.tables, denseCount: CriteoLayout.integerCount,
    batchSize: options.batchSize, segmentBytes: options.segmentBytes)
  var encoder = SampleEncoder(vocabulary: vocabulary, capacity: options.batchSize)
  var unseen = 0
  var known = 0
  try forEachLine(of: inputs, first: samples, phase: .encoding, progress) { number, line, sample in
    let counts = encoder.append(sample, line)
    let split: Split = number < training ? .train : .holdout
    if split == .holdout {
      unseen += counts.unseen
      known += counts.known
    }
    if encoder.isFull || number == training - 1 || number == samples - 1 {
      try writer.append(encoder.samples, to: split)
      encoder.removeAll()
    }
  }
  let manifest = try writer.finish(vocabularyIdentity: identity) { done, total in
    try progress(PreprocessProgress(phase: .nextUses, done: done, total: total))
  }
  let segmentBytes = (manifest.train.segments + manifest.holdout.segments).reduce(0) { $0 + $1.bytes }
  return PreprocessReport(
    manifest: manifest, holdoutValues: unseen + known, holdoutUnseen: unseen,
    bytes: vocabularyBytes + segmentBytes)
}

/// Samples that are held out: `share` of them rounded down, where a product that is whole but for its last bits (0.29 of
/// 100) counts as whole.
func heldOut(of samples: Int, share: Double) -> Int {
  min(samples - 1, Int((Double(samples) * share * (1 + 1e-12)).rounded(.down)))
}

/// Parses the first `count` lines of the inputs taken together and hands each to `body` with its number.
private func forEachLine(
  of inputs: [Input], first count: Int, phase: PreprocessProgress.Phase,
  _ progress: (PreprocessProgress) throws -> Void,
  _ body: (_ number: Int, _ line: UnsafeRawBufferPointer, _ sample: CriteoLine) throws -> Void
) throws {
  let sample = CriteoLine()
  var number = 0
  for input in inputs where number < count {
    let reader = LineReader(try input.open(), path: input.name)
    var parser = CriteoParser(labelIsOptional: false)
    while number < count, let line = try reader.next() {
      try parser.parse(line, into: sample, at: reader)
      try body(number, line, sample)
      number += 1
      if number % 10_000 == 0 {
        try progress(PreprocessProgress(phase: phase, done: number, total: count))
      }
    }
  }
  guard number == count else {
    throw ChanterError(
      .badInput,
      "the input changed while it was read: it has \(number) lines, had \(count) before; run again",
      path: inputs.last?.name)
  }
}

/// Counts the values of the first `training` samples, numbers them and writes them in row order. The counts are gone
/// when this returns, before the vocabulary is loaded for encoding.
private func writeVocabulary(
  of inputs: [Input], training: Int, minimumCount: Int, to path: String,
  _ progress: (PreprocessProgress) throws -> Void
) throws -> String {
  let counters = CriteoLayout.tableNames.map { _ in ValueCounter() }
  try forEachLine(of: inputs, first: training, phase: .vocabulary, progress) { _, line, sample in
    let base = line.baseAddress
    for (table, counter) in counters.enumerated() {
      counter.add(
        UnsafeRawBufferPointer(
          start: base.map { $0 + sample.starts.base[table] }, count: sample.lengths.base[table]))
    }
  }
  let writer = try VocabularyWriter(path, tableCount: counters.count)
  for (name, counter) in zip(CriteoLayout.tableNames, counters) {
    let order = counter.order(minimumCount: minimumCount)
    try writer.beginTable(TableLayout(name: name, rows: UInt32(order.count + Vocabulary.reservedRows)))
    for number in order { try writer.append(counter.value(number)) }
  }
  return try writer.finish()
}
