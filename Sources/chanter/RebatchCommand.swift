import ArgumentParser
import BatchStore
import Foundation
import Ingest
import Primitives

struct Rebatch: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a dataset with other batches of another one, without its log.",
    discussion: """
      The samples, their splits and the row numbers stay the same: a model that was trained on the one dataset can be
      evaluated on the other. A training that has begun goes on only with the batches that it began with. When each row is
      used next is found again. The same seed gives the same order, whatever the memory and the threads; the validation
      and the held-out split are never shuffled.
      With --renumber the rows get the numbers that preprocessing would give them in the new order, so that rows which are
      first used together lie together in a model again. The vocabulary is then another: a model that was trained before does
      not fit.
      With --by-time the samples of each split come in the order of the schema's time column, those of one time as they are.
      Beside the output it takes up to twice the output's size of temporary disk; with --renumber at least twice that of the
      vocabulary and 4 bytes a row.

      Examples:
        chanter rebatch clicks.dataset --out large.dataset --batch-size 8192
        chanter rebatch clicks.dataset --out mixed.dataset --batch-size 2048 --shuffle 7 --memory 512MiB
        chanter rebatch clicks.dataset --out timed.dataset --batch-size 2048 --by-time
        chanter rebatch clicks.dataset --out fresh.dataset --batch-size 2048 --shuffle 7 --renumber
      """)

  @Argument(help: "Dataset made by preprocess.") var dataset: String
  @Option(help: "The new dataset: a directory that must not exist.") var out: String
  @Option(help: "Samples of a batch.") var batchSize: Int
  @Option(help: ArgumentHelp("Put the training samples in the random order of this seed.", valueName: "seed"))
  var shuffle: UInt64?
  @Flag(help: "Put the samples of each split in the order of their times.")
  var byTime = false
  @Flag(help: "Number the rows anew, for the new order; models trained on the old dataset do not fit.")
  var renumber = false
  @Option(help: "Threads (default: one for each core).") var threads: Int?
  @Option(
    help: ArgumentHelp(
      "Most memory, such as 512MiB (default: no limit, about 1GiB for samples that are shuffled).",
      valueName: "size"))
  var memory: MemorySize?
  @OptionGroup var output: FormatOption

  func validate() throws {
    try requireRange("--batch-size", batchSize, 1...Manifest.maximumBatchSize)
    try requireRange("--threads", threads, 1...256)
    if byTime && shuffle != nil {
      throw ValidationError("--shuffle and --by-time cannot both order the samples")
    }
  }

  private struct Result: Encodable {
    let batchSize: Int
    let trainSamples: Int
    let trainBatches: Int
    let validSamples: Int
    let validBatches: Int
    let holdoutSamples: Int
    let holdoutBatches: Int
    let bytes: Int
    let vocabulary: String
    let batching: String
  }

  func run() throws {
    var options = RebatchOptions(dataset: dataset, output: out, batchSize: batchSize)
    options.shuffleSeed = shuffle
    options.renumbers = renumber
    options.ordersByTime = byTime
    options.memory = memory?.bytes
    if let threads { options.threads = threads }
    let line = ProgressLine()
    var rate = PhaseRate()
    let report = try rebatch(options, notice: line.interrupt) { progress in
      line.show(rate.describe(progress.phase.rawValue, done: progress.done, total: progress.total))
    }
    line.clear()
    let manifest = report.manifest
    switch output.format {
    case .json:
      try printJSON(
        Result(
          batchSize: manifest.batchSize, trainSamples: manifest.train.samples,
          trainBatches: manifest.train.batches, validSamples: manifest.valid.samples,
          validBatches: manifest.valid.batches, holdoutSamples: manifest.holdout.samples,
          holdoutBatches: manifest.holdout.batches, bytes: report.bytes,
          vocabulary: manifest.vocabularyIdentity, batching: manifest.batchingIdentity))
    case .text:
      func part(_ name: String, _ split: SplitManifest) -> (String, String)? {
        guard split.samples > 0 else { return nil }
        return (name, "\(grouped(split.samples)) samples in \(grouped(split.batches)) batches")
      }
      let lines: [(String, String)?] = [
        part("training", manifest.train), part("validation", manifest.valid),
        part("held out", manifest.holdout),
        (
          "on disk",
          "\(ByteSize.format(report.bytes)), \(fixed(Double(report.bytes) / Double(max(1, manifest.samples)), 1)) bytes a sample"
        ),
      ]
      printTable(lines.compactMap { $0 })
    }
  }
}
