import ArgumentParser
import Primitives
import TableStore
import Training

struct Copy: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Copy a model's last commit, compacted and checked.",
    discussion: """
      The copy is the same model: it has the same digest, is scored and trained like the first, and has no gaps in its
      file. It appears under its name only when it is whole and on the disk. It works while the model is in training, in
      one snapshot: the first one's file grows until this is done.

      Example:
        chanter copy clicks.model backup.model
      """)

  @Argument(help: "Model made by train.") var model: String
  @Argument(help: "The copy: a directory that must not exist.") var out: String
  @OptionGroup var output: FormatOption

  private struct Result: Encodable {
    let batches: UInt64
    let blocks: Int
    let bytes: Int
  }

  func run() throws {
    let line = ProgressLine()
    let result = try copyModel(at: model, to: out) { line.show("\(grouped($0)) blocks copied") }
    line.clear()
    switch output.format {
    case .json:
      try printJSON(Result(batches: result.state.cursor, blocks: result.blocks, bytes: result.bytes))
    case .text:
      printTable([
        ("batches", grouped(Int(result.state.cursor))),
        ("blocks", grouped(result.blocks)),
        ("size", ByteSize.format(result.bytes)),
      ])
    }
  }
}
