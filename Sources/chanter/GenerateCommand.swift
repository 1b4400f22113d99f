import ArgumentParser
import Ingest
import Primitives

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a synthetic click log in Criteo's layout whose labels come from a planted model.",
    discussion: """
      Values are skewed as in real logs: about 1% of them take about 90% of the accesses, and many occur once. The AUC
      and log loss of the planted model on the same samples are printed: the best that any model can reach. The same
      options give the same bytes.

      Example:
        chanter generate clicks.tsv --samples 300000 --rows 100000 --seed 1
      """)

  @Argument(help: "The file to write; must not exist.") var out: String
  @Option(help: "Lines to write.") var samples = 300_000
  @Option(help: "Distinct values that exist, all columns together; many occur once or never.") var rows =
    100_000
  @Option(help: "Seed of everything drawn.") var seed: UInt64 = 1
  @OptionGroup var output: FormatOption

  func validate() throws {
    if samples < 1 { throw ValidationError("--samples: expected at least 1") }
    if !(1000...(1 << 32)).contains(rows) { throw ValidationError("--rows: expected 1,000 to 4,294,967,296") }
  }

  private struct Result: Encodable {
    let plantedAuc: Double?
    let plantedLogLoss: Double
    let labelMean: Double
    let samples: Int
  }

  func run() throws {
    let line = ProgressLine()
    var rate = PhaseRate()
    let report = try generate(GenerateOptions(output: out, samples: samples, rows: rows, seed: seed)) {
      done in
      line.show(rate.describe("generating", done: done, total: samples))
    }
    line.clear()
    switch output.format {
    case .json:
      try printJSON(
        Result(
          plantedAuc: report.plantedAUC, plantedLogLoss: report.plantedLogLoss, labelMean: report.labelMean,
          samples: report.samples))
    case .text:
      printTable([
        ("samples", grouped(report.samples)),
        ("label mean", fixed(report.labelMean, 4)),
        ("planted AUC", report.plantedAUC.map { fixed($0, 6) } ?? "undefined (one class only)"),
        ("planted log loss", fixed(report.plantedLogLoss, 6)),
      ])
    }
  }
}
