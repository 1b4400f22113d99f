import ArgumentParser
import BatchStore
import Foundation
import Ingest
import Primitives
import Training

struct Predict: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the predicted probability of each sample, one a line, in input order.",
    discussion: """
      The input is a log of the schema that the model's dataset was made with (its label column may be left out), or a
      dataset, whose parts come in the order training, validation, holdout. Each probability is written with as many digits as tell it apart, and is the same
      bits that `chanter evaluate` scores. Raw lines are looked up in the model's vocabulary, which is loaded whole, beside
      --memory. While it reads, the model's file grows by what a trainer writes meanwhile.

      Examples:
        chanter predict clicks.model new.tsv > probabilities.txt
        chanter predict clicks.model clicks.dataset --split holdout --out probabilities.txt
        chanter predict clicks.model new.tsv.gz --out probabilities.txt
        ssh store cat new.tsv | chanter predict clicks.model -
      """)

  @Argument(help: "Model made by train.") var model: String
  @Argument(help: "Log file (- is standard input) or dataset.") var input: String
  @Option(help: "File to write; must not exist. Standard output if it is left out.") var out: String?
  @Option(help: "One part of a dataset instead of all.") var split: Split?
  @Option(help: "Bytes that scoring may take (default 512MiB, or the least that works).") var memory:
    MemorySize?
  @OptionGroup var threads: ThreadsOption

  private func schema(of scorer: Scorer) throws -> Schema {
    guard let json = scorer.header.dataset.schema else {
      throw ChanterError(
        .badInput, "this model was trained on row numbers, so it can score datasets but no raw input",
        path: model)
    }
    return try Schema(json: json, path: model)
  }

  /// Samples scored at once from a log.
  private static let batchSize = 2048

  func run() throws {
    let scorer = try Scorer(modelPath: model, threads: threads.threads)
    let writer = try LineWriter(path: out)
    let line = ProgressLine()
    var rate = PhaseRate()
    var done = 0
    let shows = out != nil || isatty(STDOUT_FILENO) == 0
    func write(_ batch: Batch, _ scores: UnsafePointer<Float>) throws {
      for sample in 0..<batch.sampleCount { try writer.write("\(scores[sample])\n") }
      done += batch.sampleCount
      if shows { line.show(rate.describe("predicting", done: done, total: 0)) }
    }
    if FileManager.default.fileExists(atPath: input + "/.") {
      let dataset = try Dataset(opening: input)
      for part in split.map({ [$0] }) ?? Split.allCases {
        try scorer.score(dataset, split: part, memory: memory?.bytes, write)
      }
    } else {
      if split != nil { throw ValidationError("--split: \(input) is not a dataset") }
      // Used on one thread at a time: here, then on the thread that decodes.
      nonisolated(unsafe) let encoder = try RawEncoder(
        input, schema: schema(of: scorer), precision: scorer.header.dataset.densePrecision,
        vocabulary: scorer.vocabulary(), maximumSamples: Self.batchSize)
      let layout = encoder.layout
      try scorer.score(
        layout: layout, readerBytes: encoder.bytes, memory: memory?.bytes,
        largestUnion: { $0 * layout.maximumUniqueRows },
        decode: { _, batch in try encoder.next(into: batch) },
        write)
    }
    try writer.finish()
  }
}
