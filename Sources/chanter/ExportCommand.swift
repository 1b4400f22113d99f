import ArgumentParser
import Primitives
import Training

struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a model's rows and dense parameters in formats that NumPy and PyTorch read.",
    discussion: """
      For each table TABLE.npy (fp32, rows x weights: for every row that training has changed its vector, and behind it the
      first-order weight if the model has any, without optimizer state) and TABLE.values.tsv (for each of these rows its
      number, a tab, and its raw value (its bucket where values are hashed), with \\\\, \\t, \\n and
      \\r escaped; rows 0, for rare and unseen values, and 1, for the empty one, have none). dense.safetensors holds the dense
      parameters by layer. It streams, whatever the size of the table, and works while the model is in training; the
      model's file grows meanwhile.

      Examples:
        chanter export clicks.model --table C3 --out c3
        chanter export clicks.model --out everything
        python3 -c "import numpy; print(numpy.load('c3/C3.npy', mmap_mode='r').shape)"
        python3 -c "from safetensors.torch import load_file; print(load_file('c3/dense.safetensors').keys())"
      """)

  @Argument(help: "Model made by train.") var model: String
  @Option(help: "Directory to make; must not exist.") var out: String
  @Option(help: "Table to write; may be given several times (default: all).") var table: [String] = []
  @OptionGroup var output: FormatOption

  private struct Result: Encodable {
    struct Table: Encodable {
      let name: String
      let rows: Int
      let dimension: Int
      let matrix: String
      let values: String
    }
    let batches: Int
    let tensors: Int
    let tables: [Table]
  }

  func run() throws {
    let line = ProgressLine()
    let result = try exportModel(at: model, tables: table, to: out) { table, rows in
      line.show("\(table): \(grouped(rows)) rows looked at")
    }
    line.clear()
    switch output.format {
    case .json:
      try printJSON(
        Result(
          batches: result.batches, tensors: result.tensors,
          tables: result.tables.map {
            Result.Table(
              name: $0.name, rows: $0.rows, dimension: $0.dimension, matrix: $0.matrix, values: $0.values)
          }))
    case .text:
      printColumns(
        ["table", "rows", "dimension", "files"],
        result.tables.map {
          [$0.name, grouped($0.rows), "\($0.dimension)", "\($0.matrix), \($0.values)"]
        }, trailing: 1)
      printLine(
        "dense.safetensors has \(grouped(result.tensors)) tensors after \(grouped(result.batches)) batches")
    }
  }
}
