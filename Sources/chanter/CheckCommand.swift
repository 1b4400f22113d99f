import ArgumentParser
import Primitives
import TableStore
import Training

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Read all of a model and report everything that is damaged.",
    discussion: """
      Every index page, record, chunk and block of the last commit is read and held against its checksum, and the
      vocabulary against the model. Exit status: 0 all is sound, 1 something is damaged. It works while the model is in
      training, in one snapshot: the file grows until it is done.

      With --format json each damaged place is one line with its part (index, header, state, dense, chunk, block or
      vocabulary), and the last line has the totals.

      Examples:
        chanter check clicks.model
        chanter check clicks.model --format json
      """)

  @Argument(help: "Model made by train.") var model: String
  @OptionGroup var output: FormatOption

  private struct DamageLine: Encodable {
    let status = "damage"
    let part: Damage.Part
    let table: String?
    let firstRow: UInt32?
    let lastRow: UInt32?
    let message: String
  }

  private struct Result: Encodable {
    let status: String
    let damaged: Int
    let batches: UInt64?
    let blocks: Int
    let chunks: Int
    let bytes: Int
  }

  func run() throws {
    let line = ProgressLine()
    var damaged = 0
    let result = try checkModel(
      at: model,
      found: { damage in
        damaged += 1
        line.clear()
        switch output.format {
        case .text: printLine(damage.message)
        case .json:
          try? printJSON(
            DamageLine(
              part: damage.part, table: damage.table, firstRow: damage.rows?.lowerBound,
              lastRow: damage.rows?.upperBound, message: damage.message))
        }
      },
      progress: { line.show("\(ByteSize.format($0)) read") })
    line.clear()
    switch output.format {
    case .json:
      try printJSON(
        Result(
          status: damaged == 0 ? "sound" : "damaged", damaged: damaged, batches: result.state?.cursor,
          blocks: result.blocks, chunks: result.chunks, bytes: result.bytes))
    case .text:
      printTable([
        ("damaged", grouped(damaged)),
        ("batches", result.state.map { grouped(Int($0.cursor)) } ?? "unknown"),
        ("blocks", grouped(result.blocks)),
        ("chunks", grouped(result.chunks)),
        ("read", ByteSize.format(result.bytes)),
      ])
    }
    if damaged > 0 { throw ExitCode.failure }
  }
}
