import ArgumentParser
import BatchStore
import Foundation
import Ingest
import Primitives

struct Preprocess: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Turn a click log into a dataset: numbered rows, compressed batches, and when each row is used next.",
    discussion: """
      Reads CSV or TSV as --schema says, which is a YAML file or a preset; `chanter schema` lists the presets and writes
      a first schema for a file. Without one it is Criteo's layout: label, 13 integers, 26 hexadecimal values, separated by
      tabs, no header; fields may be empty.
      Logs may be packed with gzip or zstd; the first bytes tell. Each is read once, so that - and pipes do as well.
      Values are numbered, and columns standardised, from the training part only. A value seen less than --min-count times
      shares a row with the unseen ones.
      The parts: inputs are for training, those of --valid and --test for what they say. Without --test the end of the
      training inputs is held out (--holdout), and before it perhaps a share for validation (--valid-share). A schema that
      splits by time or by a column does so alone.

      A run that was killed goes on where it stopped when the same command is given again, and makes the same bytes. Its work \
      lies in OUT.partial.

      --append makes a dataset that begins with another one, whose files are linked (copied to another file system), and goes on with
      these logs: rows of known values keep their numbers, new values get the rows after them, and a model within its first epoch of the
      old dataset goes on with the new one at the first new batch. Schema, statistics, batch size, --dense and --hash-rows are those of
      the old dataset; a schema may be given again with other times to split by. --min-count and --max-rows are not: a value that
      was too rare for a row before counts by its uses in the new logs alone. All values of the old dataset have to fit into half of
      --memory.

      Examples:
        chanter preprocess clicks.tsv --out clicks.dataset
        chanter preprocess monday.tsv --append clicks.dataset --out clicks-2.dataset
        chanter preprocess day_0.tsv day_1.tsv --out days.dataset --batch-size 4096 --min-count 2
        chanter preprocess day_0.gz day_1.tsv.zst --out days.dataset --on-error skip --max-errors 100
        chanter preprocess clicks.tsv --out clicks.dataset --memory 512MiB --max-rows 1000000
        chanter preprocess clicks.tsv --out clicks.dataset --thresholds --dim 32
        ssh store cat clicks.tsv | chanter preprocess - --out clicks.dataset
        chanter preprocess adult.data --test adult.test --schema adult --out adult.dataset --batch-size 256
        chanter preprocess ratings.csv.gz --schema ratings.yaml --valid-share 0.05 --out ratings.dataset
      """)

  @Argument(help: "Log files in the order of their samples; - is standard input.") var inputs: [String] = []
  @Option(help: ArgumentHelp("The same as a plain argument; may be repeated.", valueName: "file")) var train:
    [String] = []
  @Option(help: ArgumentHelp("A file of the validation part; may be repeated.", valueName: "file")) var valid:
    [String] = []
  @Option(help: ArgumentHelp("A file of the held-out part; may be repeated.", valueName: "file")) var test:
    [String] = []
  @Option(
    help: ArgumentHelp("What the lines are: a schema file or a preset.", valueName: "file|preset"))
  var schema: String?
  @Option(help: "The dataset: a directory that is made.") var out: String
  @Option(
    help: ArgumentHelp(
      "A dataset that stays as it is and that the new one begins with.", valueName: "dataset"))
  var append: String?
  @Option(help: "Samples of a batch (default: 2048).") var batchSize: Int?
  @Option(
    help:
      "Share of the training inputs, from their end, that is held out (default: 0.1, and 0 if something else tells)."
  )
  var holdout: Double?
  @Option(help: "Share of the training inputs before that for validation.") var validShare = 0.0
  @Option(help: "How dense columns are stored: fp16 halves them, to 11 bits (default: fp32).")
  var dense: DensePrecision?
  @Option(help: "Least training samples that a value needs for a row of its own.") var minCount = 1
  @Option(help: "Most rows of a table: beyond it the rarest values share a row with the unseen ones.")
  var maxRows: Int?
  @Option(
    help: ArgumentHelp(
      "Hash values to so many buckets in place of a vocabulary; values that collide share a row.",
      valueName: "buckets"))
  var hashRows: Int?
  @Flag(help: "Show what every --min-count would keep, whatever it is in this run.") var thresholds = false
  @Option(help: "Floats of a row, for the sizes that --thresholds shows.") var dim = 16
  @Option(help: "Threads that parse, number and encode (default: one for each core).") var threads: Int?
  @Option(
    help: ArgumentHelp(
      "Most memory, such as 512MiB; what does not fit goes through temporary files beside the output (default: no limit).",
      valueName: "size"))
  var memory: MemorySize?
  @Option(help: "At a bad line, stop or skip it.") var onError = ErrorAction.stop
  @Option(help: "Most lines that --on-error skip leaves out (default: 1000).") var maxErrors: Int?
  @OptionGroup var output: FormatOption

  enum ErrorAction: String, ExpressibleByArgument, CaseIterable {
    case stop, skip
  }

  func validate() throws {
    try requireRange("--batch-size", batchSize, 1...Manifest.maximumBatchSize)
    if append != nil, thresholds {
      throw ValidationError("--thresholds looks at whole datasets; it does not go with --append")
    }
    if inputs.isEmpty && train.isEmpty {
      throw ValidationError("expected at least one input, or - for standard input")
    }
    if let holdout {
      if !(holdout >= 0 && holdout < 1) {
        throw ValidationError("--holdout: expected at least 0 and below 1")
      }
      if !test.isEmpty, holdout > 0 {
        throw ValidationError("--holdout and --test both name the held-out part")
      }
    }
    if !(validShare >= 0 && validShare + (holdout ?? 0) < 1) {
      throw ValidationError("--valid-share: expected at least 0, and below 1 with --holdout")
    }
    if !valid.isEmpty, validShare > 0 {
      throw ValidationError("--valid-share and --valid both name the validation part")
    }
    if minCount < 1 { throw ValidationError("--min-count: expected at least 1") }
    try requireRange("--threads", threads, 1...256)
    try requireRange("--max-rows", maxRows, 3...Int(UInt32.max))
    try requireRange("--hash-rows", hashRows, 1...Int(UInt32.max) - 2)
    try requireRange("--dim", dim, 1...4096)
    if let maxErrors {
      if maxErrors < 0 { throw ValidationError("--max-errors: expected at least 0") }
      if onError == .stop { throw ValidationError("--max-errors goes with --on-error skip") }
    }
    if (inputs + train + valid + test).count(where: { $0 == "-" }) > 1 {
      throw ValidationError("standard input (-) can be read only once")
    }
  }

  private struct Table: Encodable {
    let name: String
    let rows: Int
  }

  private struct Skipped: Encodable {
    let lines: Int
    let reasons: [String: Int]
    let first: [String]

    init(_ skipped: SkippedLines) {
      lines = skipped.count
      reasons = Dictionary(
        uniqueKeysWithValues: LineReason.allCases.map {
          ($0.text.replacingOccurrences(of: " ", with: "_"), skipped.count($0))
        })
      first = skipped.first.map(\.description)
    }
  }

  private struct Result: Encodable {
    let trainSamples: Int
    let trainBatches: Int
    let validSamples: Int
    let validBatches: Int
    let holdoutSamples: Int
    let holdoutBatches: Int
    let rows: Int
    let tables: [Table]
    let bytes: Int
    let labelMean: Double
    let holdoutUnseenShare: Double
    let skipped: Skipped
    let thresholds: ThresholdReport
    let vocabulary: String
    let batching: String
    let parts: Int
  }

  func run() throws {
    var options = PreprocessOptions(inputs: inputs + train, output: out)
    options.validInputs = valid
    options.testInputs = test
    if let append {
      try extend(&options, append)
    } else {
      options.schema = try schema.map { try SchemaReader.read($0) } ?? .criteo
      options.batchSize = batchSize ?? options.batchSize
      options.densePrecision = dense ?? options.densePrecision
      options.hashRows = hashRows
    }
    options.holdout = holdout ?? (test.isEmpty && !options.schema.namesParts ? 0.1 : 0)
    options.validShare = validShare
    options.minimumCount = minCount
    options.maximumRows = maxRows
    if let threads { options.threads = threads }
    options.memory = memory?.bytes
    if onError == .skip { options.badLines = .skip(atMost: maxErrors ?? 1000) }
    let line = ProgressLine()
    var rate = PhaseRate()
    let report = try preprocess(options, notice: line.interrupt) { progress in
      line.show(rate.describe(progress.phase.rawValue, done: progress.done, total: progress.total))
    }
    line.clear()
    let manifest = report.manifest
    let rows = manifest.tables.reduce(0) { $0 + Int($1.rows) }
    let thresholds = ThresholdReport(
      report.thresholds, reservedRows: 2 * manifest.tables.count, dim: dim)
    switch output.format {
    case .json:
      try printJSON(
        Result(
          trainSamples: manifest.train.samples, trainBatches: manifest.train.batches,
          validSamples: manifest.valid.samples, validBatches: manifest.valid.batches,
          holdoutSamples: manifest.holdout.samples, holdoutBatches: manifest.holdout.batches, rows: rows,
          tables: manifest.tables.map { Table(name: $0.name, rows: Int($0.rows)) }, bytes: report.bytes,
          labelMean: manifest.train.labelMean, holdoutUnseenShare: report.unseenShare,
          skipped: Skipped(report.skipped), thresholds: thresholds, vocabulary: manifest.vocabularyIdentity,
          batching: manifest.batchingIdentity, parts: manifest.parts.count))
    case .text:
      let added = manifest.parts.last.map { part in
        Split.allCases.reduce(0) { $0 + part.samples($1) }
      }
      let lines: [(String, String)?] = [
        append == nil
          ? nil
          : ("appended", "\(grouped(added ?? 0)) samples, which are part \(manifest.parts.count)"),
        (
          "training",
          "\(grouped(manifest.train.samples)) samples in \(grouped(manifest.train.batches)) batches"
        ),
        manifest.valid.samples == 0
          ? nil
          : (
            "validation",
            "\(grouped(manifest.valid.samples)) samples in \(grouped(manifest.valid.batches)) batches"
          ),
        (
          "held out",
          "\(grouped(manifest.holdout.samples)) samples in \(grouped(manifest.holdout.batches)) batches"
        ),
        ("rows", "\(grouped(rows)) in \(manifest.tables.count) tables"),
        ("label mean", fixed(manifest.train.labelMean, 4)),
        (
          append == nil ? "unseen in held out" : "unseen in appended held out",
          fixed(100 * report.unseenShare, 2) + "% of the values"
        ),
        (
          "on disk",
          "\(ByteSize.format(report.bytes)), \(fixed(Double(report.bytes) / Double(manifest.samples), 1)) bytes a sample"
        ),
      ]
      printTable(lines.compactMap { $0 })
      show(report.skipped)
      if self.thresholds { thresholds.show() }
    }
  }

  /// What the dataset has decided may be given again, but not otherwise.
  private func extend(_ options: inout PreprocessOptions, _ path: String) throws {
    let base = try Dataset(opening: path)
    try options.extend(base, schema: try schema.map { try SchemaReader.read($0) })
    func require<Value: Equatable>(_ flag: String, _ given: Value?, _ own: Value?) throws {
      guard let given, given != own else { return }
      throw ChanterError(
        .mismatch, "\(flag) is \(own.map { "\($0)" } ?? "not used") in this dataset; leave it out", path: path
      )
    }
    try require("--batch-size", batchSize, options.batchSize)
    try require("--dense", dense?.rawValue, options.densePrecision.rawValue)
    try require("--hash-rows", hashRows, options.hashRows)
  }

  private func show(_ skipped: SkippedLines) {
    guard skipped.count > 0 else { return }
    let reasons = LineReason.allCases.filter { skipped.count($0) > 0 }.map {
      "\(grouped(skipped.count($0))) \($0.text)"
    }
    printTable([("skipped lines", "\(grouped(skipped.count)): \(reasons.joined(separator: ", "))")])
    for error in skipped.first { printLine("  \(error)") }
    if skipped.count > skipped.first.count {
      printLine("  and \(grouped(skipped.count - skipped.first.count)) more")
    }
  }
}

/// Done, rate and time left of a phase of known or unknown length.
struct PhaseRate {
  private var phase = ""
  private var start = ContinuousClock.now
  /// Where the phase was when it was heard of first: a run may go on in the middle of one.
  private var first = 0

  mutating func describe(_ name: String, done: Int, total: Int) -> String {
    if name != phase {
      phase = name
      start = .now
      first = done
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let rate = seconds > 0 ? Double(done - first) / seconds : 0
    guard total > 0 else { return "\(name): \(grouped(done)), \(grouped(Int(rate)))/s" }
    let left = rate > 0 ? duration(Double(total - done) / rate) : "?"
    return "\(name): \(grouped(done)) of \(grouped(total)), \(grouped(Int(rate)))/s, \(left) left"
  }
}
