public import ArgumentParser
public import BatchStore
import Foundation
public import Lookahead
import Primitives
public import Training

/// A size on the command line: `64MiB`, `4g`.
struct MemorySize: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    guard let bytes = ByteSize.parse(argument), bytes > 0 else { return nil }
    self.bytes = bytes
  }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json
}

extension Split: ExpressibleByArgument {}
extension DensePrecision: ExpressibleByArgument {}
extension EvictionPolicy: ExpressibleByArgument {}
extension ValidationMetric: ExpressibleByArgument {}

struct FormatOption: ParsableArguments {
  @Option(help: "How results are written to standard output.")
  var format = OutputFormat.text
}

/// The configuration file with the flags that win over it.
struct ConfigurationOptions: ParsableArguments {
  @Option(
    help: """
      Configuration file (YAML); data/configs has examples with a comment on every key. Without one every key has \
      its default.
      """)
  var config: String?

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Change one setting of the file, such as rows.learning_rate=0.1.", valueName: "key=value"))
  var overrides: [String] = []

  @Option(help: "Seed of the initial parameters.")
  var seed: UInt64?

  @Option(
    help:
      "Batches planned and fetched ahead; fewer where their rows would take over a third of the spare memory."
  )
  var lookahead: Int?

  func read(extra: [String] = []) throws -> Configuration {
    var settings = overrides + extra
    if let seed { settings.append("seed=\(seed)") }
    if let lookahead { settings.append("lookahead=\(lookahead)") }
    return try ConfigurationReader.read(path: config, overrides: settings)
  }

  func validate() throws {
    try requireRange("--lookahead", lookahead, ConfigurationReader.lookaheads)
    for pair in overrides where !pair.contains("=") {
      throw ValidationError("--set \(pair): expected key=value, such as rows.learning_rate=0.1")
    }
  }
}

/// Compute threads of a command that scores.
struct ThreadsOption: ParsableArguments {
  @Option(help: "Compute threads (default: one for each core).") var threads = 0

  func validate() throws { try requireRange("--threads", threads, 0...256) }
}

/// A usage error unless the flag is left out or its value lies in the range.
func requireRange(_ flag: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
  guard let value, !range.contains(value) else { return }
  throw ValidationError("\(flag): expected \(range.lowerBound) to \(range.upperBound)")
}

/// What steers training beside the model; the flags win over the file.
struct ControlOptions: ParsableArguments {
  @Option(
    help: "Score the validation split after every N batches, or every `epoch` or N epochs (\"2 epochs\").",
    transform: { text in
      guard let interval = ValidationInterval(text) else {
        throw ValidationError("expected a number of batches, `epoch` or `N epochs`")
      }
      return interval
    })
  var validEvery: ValidationInterval?
  @Option(help: "Stop after so many validations in a row without a new best value of the metric (0: never).")
  var patience: Int?
  @Option(
    help: "What is looked at: auc, grouped_auc, accuracy, log_loss or normalized_entropy (default auc).")
  var metric: ValidationMetric?
  @Option(help: "Feature whose values group the samples for grouped AUC, such as a user id.")
  var group: String?
  @Flag(help: "Copy the model to its folder `best` at every new best value; cost in time and bytes is shown.")
  var keepBest = false
  @Option(help: "Share of the negatives that the log has kept, in (0, 1]; predictions are corrected for it.")
  var negativeRate: Double?
  @Option(help: "Stop after so many batches in all, whatever the epochs (0: no limit).")
  var maxBatches: Int?
  @Option(
    help: ArgumentHelp(
      "A new model begins with this one's weights: tables by name, rows by raw value where the vocabularies differ.",
      valueName: "model"))
  var from: String?

  func validate() throws {
    try requireRange("--patience", patience, 0...1_000_000_000)
    try requireRange("--max-batches", maxBatches, ConfigurationReader.batchCounts)
    if let negativeRate, !(negativeRate > 0 && negativeRate <= 1) {
      throw ValidationError("--negative-rate: expected a share above 0 and up to 1")
    }
  }

  var settings: [String] {
    var settings: [String] = []
    if let validEvery { settings.append("valid_every=\(validEvery.text)") }
    if let patience { settings.append("patience=\(patience)") }
    if let metric { settings.append("metric=\(metric.rawValue)") }
    // Between single quotes YAML reads everything but a single quote as it stands.
    if let group { settings.append("group='\(group.replacingOccurrences(of: "'", with: "''"))'") }
    if keepBest { settings.append("keep_best=true") }
    if let negativeRate { settings.append("negative_rate=\(negativeRate)") }
    if let maxBatches { settings.append("max_batches=\(maxBatches)") }
    return settings
  }
}

/// How a run goes about it, beside its memory; the flags win over the file.
struct RunOptions: ParsableArguments {
  @OptionGroup var configuration: ConfigurationOptions
  @OptionGroup var control: ControlOptions
  @Option(help: "Compute threads (default: the file's, else one for each core).") var threads: Int?
  @Option(help: "Passes over the training data, those done before included.") var epochs: Int?
  @Option(
    help: "Which idle row leaves the cache: min (farthest next use), window (as BagPipe) or lru (oldest use)."
  )
  var policy: EvictionPolicy?

  func read() throws -> Configuration {
    var settings = control.settings
    if let threads { settings.append("threads=\(threads)") }
    if let epochs { settings.append("epochs=\(epochs)") }
    if let policy { settings.append("policy=\(policy.rawValue)") }
    return try configuration.read(extra: settings)
  }

  func validate() throws {
    try requireRange("--threads", threads, ConfigurationReader.threadCounts)
    try requireRange("--epochs", epochs, ConfigurationReader.epochCounts)
  }
}
