import ArgumentParser
import BatchStore
import Foundation
import Primitives

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Look into a dataset or a model.",
    discussion: """
      A dataset: its parts, and for every table how skewed its use is, in rows that the training part uses. It counts \
      in 4 bytes a row, one large table at a time. --table lists the most frequent values; --sample and \
      --export give samples in raw values; both number samples from 0 in the order of the log, whose end is held out.

      A model: its configuration and position, and for every table the rows that training changed, with the norms of \
      their weights. --top lists the largest norms. --row or --value shows one row and its nearest neighbours by \
      cosine, an exact scan of the table. All of it comes from one commit; while a trainer writes, each row is that of \
      some commit and the answer says from which to which (first_commit and last_commit in JSON), so that the file of a \
      model in training does not grow meanwhile. `chanter copy` first for one commit then.

      Examples:
        chanter inspect clicks.dataset
        chanter inspect clicks.dataset --table C3 --top 50
        chanter inspect clicks.dataset --sample 1000
        chanter inspect clicks.dataset --export 0..1000 > samples.csv
        chanter inspect clicks.model
        chanter inspect clicks.model --table C3 --value 4cf72387
        chanter inspect clicks.model --table C3 --row 17 --top 5 --format json
      """)

  @Argument(help: "A dataset or a model.") var path: String
  @Option(help: "One table, such as C3.") var table: String?
  @Option(help: "Entries of a list (default 20; 10 neighbours).") var top: Int?
  @Option(help: "Of a dataset: one sample, counted from 0.") var sample: Int?
  @Option(
    help: ArgumentHelp(
      "Of a dataset: samples A up to but not including B as CSV; loads the vocabulary.", valueName: "a..b"))
  var export: SampleRange?
  @Option(help: "Of a model: one row of --table, by its number.") var row: UInt32?
  @Option(help: "Of a model: one row of --table, by its raw value.") var value: String?
  @OptionGroup var output: FormatOption

  private static let mostListed = 10_000

  func validate() throws {
    if let top, !(1...Self.mostListed).contains(top) {
      throw ValidationError("--top: expected 1 to \(grouped(Self.mostListed))")
    }
    try requireRange("--sample", sample, 0...Int.max - 1)
    if row != nil || value != nil, table == nil {
      throw ValidationError("--row and --value name a row of a table: give --table, too")
    }
    if row != nil, value != nil { throw ValidationError("give --row or --value, not both") }
    let choices = [sample != nil, export != nil, table != nil].count { $0 }
    if choices > 1 { throw ValidationError("give one of --table, --sample and --export") }
    if export != nil, output.format == .json {
      throw ValidationError("--export writes CSV; leave --format out")
    }
  }

  func run() throws {
    if FileManager.default.fileExists(atPath: path + "/manifest.json") {
      if row != nil || value != nil { throw ValidationError("--row and --value are for models") }
      let display = DatasetDisplay(try Dataset(opening: path), output.format)
      if let sample {
        try display.sample(sample)
      } else if let export {
        try display.export(export.range)
      } else if let table {
        try display.table(table, top: top ?? 20)
      } else {
        if top != nil { throw ValidationError("--top lists the values of a table: give --table, too") }
        try display.summary()
      }
    } else {
      if sample != nil || export != nil { throw ValidationError("--sample and --export are for datasets") }
      guard FileManager.default.fileExists(atPath: path) else {
        throw ChanterError(.io, "there is no dataset or model of this name", path: path)
      }
      let display = try ModelDisplay(path, output.format)
      if let table, let row {
        try display.row(row, of: table, neighbours: top ?? 10)
      } else if let table, let value {
        try display.value(value, of: table, neighbours: top ?? 10)
      } else if let top {
        try display.largestNorms(of: table, count: top)
      } else {
        try display.summary(of: table)
      }
    }
  }
}

/// Samples on the command line: `0..1000`, the end not included.
struct SampleRange: ExpressibleByArgument {
  let range: Range<Int>

  init?(argument: String) {
    guard let dots = argument.range(of: ".."), let first = Int(argument[..<dots.lowerBound]),
      let end = Int(argument[dots.upperBound...]), first >= 0, first < end
    else { return nil }
    range = first..<end
  }
}

extension [TableLayout] {
  /// The number of the table called `name`.
  func number(of name: String, path: String) throws -> Int {
    guard let number = firstIndex(where: { $0.name == name }) else {
      let names = prefix(40).map(\.name).joined(separator: ", ")
      throw ChanterError(
        .badInput, "it has no table \(name), but \(names)\(count > 40 ? " and more" : "")", path: path)
    }
    return number
  }
}

/// The raw value of a row as text; what a reserved row stands for in parentheses; nil where it is not known.
func valueText(row: UInt32, _ value: [UInt8]?) -> String? {
  switch row {
  case Vocabulary.unseenRow: "(unseen or rare)"
  case Vocabulary.emptyRow: "(empty)"
  default: value.map { String(decoding: $0, as: UTF8.self) }
  }
}
