import ArgumentParser
import Training

struct Digest: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the hash of a model: its rows, dense parameters and position in the data.",
    discussion: """
      Two models with the same digest are the same model, whatever they have stored where. It reads the whole model,
      in one snapshot: while a trainer writes to it, the file grows until this is done.

      Example:
        chanter digest clicks.model
      """)

  @Argument(help: "Model made by train.") var model: String
  @OptionGroup var output: FormatOption

  private struct Result: Encodable {
    let digest: String
    let batches: Int
  }

  func run() throws {
    let scorer = try Scorer(modelPath: model)
    let digest = try scorer.digest()
    switch output.format {
    case .text: printLine(digest)
    case .json: try printJSON(Result(digest: digest, batches: scorer.cursor))
    }
  }
}
