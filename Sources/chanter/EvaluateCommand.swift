import ArgumentParser
import BatchStore
import Foundation
import Metrics
import Primitives
import Training

struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Score a dataset with a model and print AUC, log loss, normalized entropy, calibration and accuracy.",
    discussion: """
      AUC is exact (ties count half). Normalized entropy is log loss over the entropy of the mean label; calibration is
      mean prediction over mean label; accuracy calls a probability of 0.5 or more positive. Grouped AUC is the mean of the
      AUC inside each group of --group, weighted by samples; groups with one class, and samples whose value has no row of
      its own, are left out. Predictions are corrected for the model's negative rate. It works while the model is in training and sees the last commit; the model's
      file grows meanwhile by what the trainer writes.

      Examples:
        chanter evaluate clicks.model clicks.dataset
        chanter evaluate clicks.model clicks.dataset --split train --format json
        chanter evaluate clicks.model clicks.dataset --group user_id
      """)

  @Argument(help: "Model made by train.") var model: String
  @Argument(help: "Dataset that numbers its values as the model's did.") var dataset: String
  @Option(help: "The part to score.") var split = Split.holdout
  @Option(help: "Bytes that scoring may take (default 512MiB, or the least that works).") var memory:
    MemorySize?
  @Option(help: "Feature whose values group the samples for grouped AUC.") var group: String?
  @OptionGroup var threads: ThreadsOption
  @OptionGroup var output: FormatOption

  /// Room for the scores of two million samples; more go to a temporary file in TMPDIR, 4 bytes each.
  private static let metricsBytes = 16 << 20

  private struct Result: Encodable {
    let auc: Double?
    let groupedAUC: Double?
    let logLoss: Double
    let normalizedEntropy: Double?
    let calibration: Double?
    let accuracy: Double
    let samples: Int
  }

  func run() throws {
    let scorer = try Scorer(modelPath: model, threads: threads.threads)
    let data = try Dataset(opening: dataset)
    let total = data.manifest.split(split).samples
    guard total > 0 else {
      throw ChanterError(.badInput, "its \(split.rawValue) part has no samples", path: dataset)
    }
    let directory = FileManager.default.temporaryDirectory.path
    let metrics = RankingMetrics(memoryBytes: Self.metricsBytes, spillDirectory: directory)
    let grouping = try group.map { name in
      (
        feature: try data.groupFeature(name, key: "--group"),
        ranking: GroupedRanking(memoryBytes: Self.metricsBytes, spillDirectory: directory)
      )
    }
    let line = ProgressLine()
    var rate = PhaseRate()
    var done = 0
    try scorer.score(
      data, split: split, memory: memory?.bytes, otherBytes: Self.metricsBytes * (group == nil ? 1 : 2)
    ) {
      batch, scores in
      for sample in 0..<batch.sampleCount {
        let label = batch.labels.base[sample]
        try metrics.add(score: scores[sample], label: label)
        if let grouping {
          let row = batch.row(of: sample, feature: grouping.feature)
          if row != Vocabulary.unseenRow {
            try grouping.ranking.add(group: row, score: scores[sample], label: label)
          }
        }
      }
      done += batch.sampleCount
      line.show(rate.describe("scoring", done: done, total: total))
    }
    line.clear()
    let summary = try metrics.finish()
    let inGroups = try grouping?.ranking.finish()
    switch output.format {
    case .json:
      try printJSON(
        Result(
          auc: summary.auc, groupedAUC: inGroups?.auc, logLoss: summary.logLoss,
          normalizedEntropy: summary.normalizedEntropy, calibration: summary.calibration,
          accuracy: summary.accuracy, samples: summary.samples))
    case .text:
      func number(_ value: Double?) -> String { value.map { fixed($0, 6) } ?? "undefined (one class only)" }
      var rows = [("AUC", number(summary.auc))]
      if let inGroups {
        rows.append(
          (
            "grouped AUC",
            "\(number(inGroups.auc)) (\(grouped(inGroups.groups)) groups, \(grouped(inGroups.samples)) samples)"
          ))
      }
      rows += [
        ("log loss", fixed(summary.logLoss, 6)),
        ("normalized entropy", number(summary.normalizedEntropy)),
        ("calibration", number(summary.calibration)),
        ("accuracy", percent(summary.accuracy)),
        ("samples", grouped(summary.samples)),
      ]
      printTable(rows)
    }
  }
}
