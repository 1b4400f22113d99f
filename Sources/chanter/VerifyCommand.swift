import ArgumentParser
import Foundation
import Lookahead
import Primitives
import Training

struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check that out-of-core training equals in-memory training, bit for bit.",
    discussion: """
      Trains the first batches in memory, then out of core with several memories, lookaheads, policies and thread
      counts, with and without an interruption, and compares every trained row and parameter after every batch. Exit
      status 1 on any difference. Temporary models go to TMPDIR.

      Example:
        chanter verify clicks.dataset --config data/configs/dlrm-small.yaml --batches 200
      """)

  @Argument(help: "Dataset made by preprocess.") var dataset: String
  @OptionGroup var options: ConfigurationOptions
  @Option(help: "Batches to train in every run.") var batches: Int
  @OptionGroup var output: FormatOption

  func validate() throws {
    if batches < 1 { throw ValidationError("--batches: expected at least 1") }
  }

  private struct Run: Encodable {
    let memory: Int
    let lookahead: Int
    let policy: String
    let threads: Int
    let resumed: Bool
    let digest: String
    let difference: String?

    init(_ run: VerifiedRun) {
      memory = run.memory
      lookahead = run.lookahead
      policy = run.policy.rawValue
      threads = run.threads
      resumed = run.isResumed
      digest = run.digest
      difference = run.difference
    }
  }

  private struct Result: Encodable {
    let digest: String
    let exact: Bool
    let runs: [Run]
  }

  private static func describe(_ run: VerifiedRun) -> String {
    let outcome = run.difference.map { "differs first at \($0)" } ?? "equal"
    return "memory \(ByteSize.format(run.memory)), lookahead \(run.lookahead), policy \(run.policy.rawValue),"
      + " threads \(run.threads)\(run.isResumed ? ", resumed half-way" : ""): \(outcome)"
  }

  func run() throws {
    var request = VerificationRequest(
      datasetPath: dataset, configuration: try options.read(), batches: batches)
    request.compared = { run in
      printError(Self.describe(run))
    }
    let report = try request.run()
    switch output.format {
    case .json:
      try printJSON(Result(digest: report.digest, exact: report.isExact, runs: report.runs.map(Run.init)))
    case .text:
      printLine("in memory: \(report.digest)")
      let equal = report.runs.count { $0.difference == nil }
      printLine("out of core: \(equal) of \(report.runs.count) runs equal")
      for run in report.runs where run.difference != nil { printLine(Self.describe(run)) }
    }
    if !report.isExact { throw ExitCode.failure }
  }
}
