import ArgumentParser
import BatchStore
import Foundation
import Metrics
import Primitives
import Training

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Score a dataset with a model and print AUC, log loss, normalized entropy and calibration.",
    discussion: """
      AUC is exact (ties count half). Normalized entropy is log loss over the entropy of the mean label; calibration is
      mean prediction over mean label. It works while the model is in training and sees the last commit; the model's
      file grows meanwhile by what the trainer writes.

      Examples:
        chanter evaluate clicks.model clicks.dataset
        chanter evaluate clicks.model clicks.dataset --split train --format json
      """)

  @Argument(help: "Model made by train.") var model: String
  @Argument(help: "Dataset that numbers its values as the model's did.") var dataset: String
  @Option(help: "The part to score.") var split = Split.holdout
  @Option(help: "Bytes that scoring may take (default 512MiB, or the least that works).") var memory:
    MemorySize?
  @OptionGroup var threads: ThreadsOption
  @OptionGroup var output: FormatOption

  /// Room for the scores of two million samples; more go to a temporary file in TMPDIR, 4 bytes each.
  private static let metricsBytes = 16 << 20

  private struct Result: Encodable {
    let auc: Double?
    let logLoss: Double
    let normalizedEntropy: Double?
    let calibration: Double?
    let samples: Int
  }

  func run() throws {
    let scorer = try Scorer(modelPath: model, threads: threads.threads)
    let data = try Dataset(opening: dataset)
    let total = data.manifest.split(split).samples
    guard total > 0 else {
      throw ChanterError(.badInput, "its \(split.rawValue) part has no samples", path: dataset)
    }
    let metrics = RankingMetrics(
      memoryBytes: Self.metricsBytes, spillDirectory: FileManager.default.temporaryDirectory.path)
    let line = ProgressLine()
    var rate = PhaseRate()
    var done = 0
    try scorer.score(data, split: split, memory: memory?.bytes, otherBytes: Self.metricsBytes) {
      batch, scores in
      for sample in 0..<batch.sampleCount {
        try metrics.add(score: scores[sample], label: batch.labels.base[sample])
      }
      done += batch.sampleCount
      line.show(rate.describe("scoring", done: done, total: total))
    }
    line.clear()
    let summary = try metrics.finish()
    switch output.format {
    case .json:
      try printJSON(
        Result(
          auc: summary.auc, logLoss: summary.logLoss, normalizedEntropy: summary.normalizedEntropy,
          calibration: summary.calibration, samples: summary.samples))
    case .text:
      func number(_ value: Double?) -> String { value.map { fixed($0, 6) } ?? "undefined (one class only)" }
      printTable([
        ("AUC", number(summary.auc)),
        ("log loss", fixed(summary.logLoss, 6)),
        ("normalized entropy", number(summary.normalizedEntropy)),
        ("calibration", number(summary.calibration)),
        ("samples", grouped(summary.samples)),
      ])
    }
  }
}
