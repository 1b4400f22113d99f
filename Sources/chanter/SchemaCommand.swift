import ArgumentParser
import Foundation
import Ingest
import Primitives

struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "List and print the preset schemas, or write a first schema for a file.",
    discussion: """
      A schema is a YAML file that says how lines become samples, for `chanter preprocess --schema`.

      Keys of the file: separator (one character or tab), header (true or false), quotes (RFC 4180), trim (leave out spaces
      around fields), missing (what stands for no value), other_columns (refuse or ignore what the header has beyond the
      schema), order (file or time), split (valid_from and test_from, times from which on a sample is of that part), and
      columns: a list, in the order of the file if it has no header. Keys of a column: name, type, missing, and by type
        label        0 or 1; or positive, a list of values (and negative, then there is nothing else); or threshold,
                     from which on a number is positive
        dense        transform: none, log1p, standardise (by mean and deviation of the training part), or bucketise, by
                     ascending boundaries or into a number of buckets (quantiles of the training part); table
        categorical  values: string, integer or hexadecimal; table: columns of one table share values and rows;
                     separator: makes it multi-valued, of at most maximum_length values
        time         format: integer or iso8601; orders or splits
        split        train, valid and test: the values that name the parts
        weight       of the sample, above 0
        ignore
      A missing dense value is 0 to the model, a missing categorical value has a row of its own, and a missing
      multi-valued one has no values. A field ends on its line, quoted or not.

      Examples:
        chanter schema
        chanter schema show adult > adult.yaml
        chanter schema infer ratings.csv.gz > ratings.yaml
        chanter preprocess ratings.csv.gz --schema ratings.yaml --out ratings.dataset
      """,
    subcommands: [List.self, Show.self, Infer.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the preset schemas.")
    @OptionGroup var output: FormatOption

    private struct Preset: Encodable {
      let name: String
      let title: String
    }

    func run() throws {
      switch output.format {
      case .json: try printJSON(SchemaPreset.all.map { Preset(name: $0.name, title: $0.title) })
      case .text: printTable(SchemaPreset.all.map { ($0.name, $0.title) })
      }
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print a preset schema, with where to get its log.",
      discussion: """
        Example:
          chanter schema show avazu
        """)
    @Argument(help: "A preset, as `chanter schema` lists them.") var preset: String

    func run() throws {
      guard let found = SchemaPreset.all.first(where: { $0.name == preset }) else {
        let names = SchemaPreset.all.map(\.name).joined(separator: ", ")
        throw ValidationError("there is no preset \(preset); the presets are \(names)")
      }
      printLine(found.text.hasSuffix("\n") ? String(found.text.dropLast()) : found.text)
    }
  }

  struct Infer: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write a first schema for a file to standard output.",
      discussion: """
        Every column has a comment: what its values look like, how many are distinct and missing, examples. Types are
        guesses; look at each. Memory does not grow with the file.

        Examples:
          chanter schema infer ratings.csv.gz > ratings.yaml
          chanter schema infer adult.data --header false --lines 10000
        """)
    @Argument(help: "A CSV or TSV file, perhaps packed with gzip or zstd; - is standard input.") var file:
      String
    @Option(help: "What separates fields: one character, or tab (default: the one that fits).") var separator:
      String?
    @Option(help: "Whether the first line names the columns: true or false (default: a guess).") var header:
      Bool?
    @Option(help: "Most lines to read; 0 reads all.") var lines = 1_000_000

    func validate() throws {
      if lines < 0 { throw ValidationError("--lines: expected 0 or more") }
      if let separator, separator != "tab", separator.utf8.count != 1 {
        throw ValidationError("--separator: expected one character, or tab")
      }
    }

    func run() throws {
      var inference = SchemaInference()
      inference.separator = separator.flatMap { $0 == "tab" ? 9 : $0.utf8.first }
      inference.hasHeader = header
      inference.maximumLines = lines == 0 ? nil : lines
      let line = ProgressLine()
      var rate = PhaseRate()
      inference.progressed = { line.show(rate.describe("reading lines", done: $0, total: 0)) }
      let text = try inference.run(file)
      line.clear()
      printLine(String(text.dropLast()))
    }
  }
}
