import BatchStore
import Foundation
import Primitives
import TableStore
import Training

/// What `chanter inspect MODEL` writes.
struct ModelDisplay {
  private let model: ModelInspection
  private let format: OutputFormat
  private let line = ProgressLine()

  init(_ path: String, _ format: OutputFormat) throws {
    model = try ModelInspection(path)
    self.format = format
    var rate = PhaseRate()
    let line = line
    model.progressed = { line.show(rate.describe("reading rows", done: $0, total: $1)) }
  }

  private func number(of table: String) throws -> Int {
    try model.layout.tables.number(of: table, path: model.path)
  }

  private struct Summary: Encodable {
    struct Table: Encodable {
      let name: String
      let rows: Int
      let changedRows: Int
      let blocks: Int
      let bytes: Int
      let nonFiniteRows: Int
      let smallestNorm: Double?
      let meanNorm: Double?
      let largestNorm: Double?
      let normCounts: [Int]
    }

    let cursor: Int
    let epochs: Double
    let commits: Int
    let firstCommit: UInt64
    let lastCommit: UInt64
    let configuration: ModelConfiguration
    let machine: ModelHeader.Machine
    let vocabulary: String
    let denseBytes: Int
    let chunks: Int
    let chunkBytes: Int
    let normEdges: [Double]
    let tables: [Table]
  }

  /// The whole model, or one table of it.
  func summary(of name: String?) throws {
    let (contents, chunks) = try model.contents(of: name.map(number))
    line.clear()
    let header = model.header
    let state = model.commits.last
    let epochs = Double(state.cursor) / Double(max(1, header.dataset.trainBatches))
    if format == .json {
      return try printJSON(
        Summary(
          cursor: Int(state.cursor), epochs: epochs, commits: Int(state.commit),
          firstCommit: model.commits.first.commit, lastCommit: state.commit,
          configuration: header.configuration, machine: header.machine,
          vocabulary: header.dataset.vocabulary, denseBytes: state.denseBytes,
          chunks: chunks.values, chunkBytes: chunks.bytes, normEdges: NormHistogram.edges,
          tables: contents.map {
            let isEmpty = $0.norms.total == 0
            return Summary.Table(
              name: $0.name, rows: $0.declaredRows, changedRows: $0.changedRows, blocks: $0.blocks.values,
              bytes: $0.blocks.bytes, nonFiniteRows: $0.nonFiniteRows,
              smallestNorm: isEmpty ? nil : $0.norms.smallest, meanNorm: isEmpty ? nil : $0.norms.mean,
              largestNorm: isEmpty ? nil : $0.norms.largest, normCounts: $0.norms.counts)
          }))
    }
    printTable([
      ("trained", "\(grouped(Int(state.cursor))) batches, \(fixed(epochs, 2)) epochs"),
      ("commits", grouped(Int(state.commit))),
      ("not compacted", "\(grouped(chunks.values)) chunks, \(ByteSize.format(chunks.bytes))"),
      ("dense record", ByteSize.format(state.denseBytes)),
      ("vocabulary", header.dataset.vocabulary),
      ("made with", header.machine.blas),
    ])
    printHeading("configuration")
    printLine(header.configuration.text)
    print(contents)
    printSpan()
  }

  /// Says so where a trainer committed while the model was read.
  private func printSpan() {
    guard !model.commits.isOne else { return }
    let (first, last) = (model.commits.first, model.commits.last)
    printLine(
      "The model was trained meanwhile: each row is as of one of the commits \(grouped(Int(first.commit))) to"
        + " \(grouped(Int(last.commit))) (batches \(grouped(Int(first.cursor))) to \(grouped(Int(last.cursor))))."
    )
  }

  private func print(_ contents: [TableContents]) {
    var all = NormHistogram()
    for table in contents { all.add(table.norms) }
    let range = all.filled.isEmpty ? "" : ", \(edge(all.filled.lowerBound)) to \(short(all.largest))"
    printHeading("tables: rows that training changed, and the norms of their weights")
    printColumns(
      [
        "table", "rows", "changed", "blocks", "bytes", "NaN or inf", "least", "mean", "largest",
        "norms\(range)",
      ],
      contents.map { table in
        let norms = table.norms
        let figures = norms.total > 0 ? [norms.smallest, norms.mean, norms.largest] : []
        return [
          table.name, grouped(table.declaredRows), grouped(table.changedRows), grouped(table.blocks.values),
          ByteSize.format(table.blocks.bytes), grouped(table.nonFiniteRows),
        ] + (figures.isEmpty ? ["", "", ""] : figures.map { short($0) }) + [
          Bars.line(norms.counts[all.filled])
        ]
      })
    guard all.total > 0 else { return }
    printHeading("norms of \(grouped(all.total)) rows")
    let most = all.counts.max() ?? 0
    printColumns(
      ["from", "rows", "share", ""],
      all.filled.map { bucket in
        let count = all.counts[bucket]
        return [
          edge(bucket), grouped(count),
          percent(Double(count) / Double(all.total)), Bars.bar(count, of: most),
        ]
      }, trailing: 1)
  }

  private struct Norm: Encodable {
    let table: String
    let row: UInt32
    let value: String?
    let norm: Double
  }

  private struct Norms: Encodable {
    let rows: [Norm]
    let firstCommit: UInt64
    let lastCommit: UInt64
  }

  func largestNorms(of name: String?, count: Int) throws {
    let rows = try model.largestNorms(of: name.map(number), count: count)
    let values = try model.values(of: rows.map(\.key))
    line.clear()
    let entries = rows.map {
      Norm(
        table: model.layout.tables[$0.key.table].name, row: $0.key.row,
        value: valueText(row: $0.key.row, values[$0.key]), norm: $0.score)
    }
    if format == .json {
      return try printJSON(
        Norms(
          rows: entries, firstCommit: model.commits.first.commit, lastCommit: model.commits.last.commit))
    }
    printColumns(
      ["table", "value", "row", "norm"],
      entries.map { [$0.table, $0.value ?? "-", grouped(Int($0.row)), fixed($0.norm, 6)] }, leading: 2)
    printSpan()
  }

  private struct Neighbour: Encodable {
    let row: UInt32
    let value: String?
    let cosine: Double
  }

  private struct Row: Encodable {
    let table: String
    let row: UInt32
    let value: String?
    let changed: Bool
    let norm: Double
    let weights: [Float]
    let state: [Float]
    let neighbours: [Neighbour]
    let firstCommit: UInt64
    let lastCommit: UInt64
  }

  func value(_ value: String, of name: String, neighbours: Int) throws {
    guard let row = try model.row(of: Array(value.utf8), table: number(of: name)) else {
      throw ChanterError(
        .badInput,
        "table \(name) has no value \(value): it counts as unseen, row \(Vocabulary.unseenRow)",
        path: model.path)
    }
    try self.row(row, of: name, neighbours: neighbours)
  }

  func row(_ number: UInt32, of name: String, neighbours count: Int) throws {
    let table = try self.number(of: name)
    let rows = model.layout.tables[table].rows
    guard number < rows else {
      throw ChanterError(
        .badInput, "table \(name) has the rows 0 to \(grouped(Int(rows) - 1)), not \(grouped(Int(number)))",
        path: model.path)
    }
    let row = try model.row(RowKey(table: table, row: number))
    let neighbours = try model.neighbours(of: row, count: count)
    let values = try model.values(of: [row.key] + neighbours.map(\.key))
    line.clear()
    let result = Row(
      table: name, row: number, value: valueText(row: number, values[row.key]), changed: row.isChanged,
      norm: row.norm, weights: row.weights, state: row.state,
      neighbours: neighbours.map {
        Neighbour(row: $0.key.row, value: valueText(row: $0.key.row, values[$0.key]), cosine: $0.score)
      }, firstCommit: model.commits.first.commit, lastCommit: model.commits.last.commit)
    if format == .json { return try printJSON(result) }
    func list(_ numbers: [Float]) -> String { numbers.map { "\($0)" }.joined(separator: " ") }
    printTable([
      ("value", result.value ?? "-"), ("row", "\(grouped(Int(number))) of \(name)"),
      ("trained", row.isChanged ? "yes" : "no, it has its initial value"),
      ("norm", fixed(row.norm, 6)), ("weights", list(row.weights)),
      ("optimizer state", row.state.isEmpty ? "none" : list(row.state)),
    ])
    printHeading("nearest of the rows that training changed, by cosine")
    printColumns(
      ["value", "row", "cosine"],
      result.neighbours.map { [$0.value ?? "-", grouped(Int($0.row)), fixed($0.cosine, 6)] })
    printSpan()
  }

  /// Where a bucket begins.
  private func edge(_ bucket: Int) -> String { bucket == 0 ? "0" : short(NormHistogram.edges[bucket - 1]) }

  /// Four significant digits at most, without an exponent where the number is of everyday size.
  private func short(_ value: Double) -> String { String(format: "%.4g", value) }
}

/// Bars of block characters.
enum Bars {
  private static let eighths = Array(" ▁▂▃▄▅▆▇█")
  private static let width = 40

  /// One character a count, as high as its share of the largest; what is not zero shows.
  static func line(_ counts: some Collection<Int>) -> String {
    let most = counts.max() ?? 0
    return String(counts.map { $0 == 0 ? eighths[0] : eighths[1 + 7 * $0 / most] })
  }

  static func bar(_ count: Int, of most: Int) -> String {
    guard count > 0 else { return "" }
    return String(repeating: "█", count: max(1, count * width / most))
  }
}
