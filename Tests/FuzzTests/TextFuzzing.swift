import Foundation
import Primitives

@testable import BatchStore
@testable import Ingest

/// Lines of text, and what they come in.
///
/// One execution at a time: blocks are used again and again.
enum TextFuzzing {
  /// Blocks of few samples, which are not parsed.
  private static let unparsed = InputLayout(
    tableNames: ["t"], features: [FeatureLayout(name: "t", table: 0)], denseNames: [],
    leastLineBytes: TextBlock.bytes)

  /// A file as blocks and line by line. The first byte says whether the others come once or until they fill several blocks.
  static func input(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, rest) = bytes.choice
    var file = Data(rest)
    if choice & 7 == 7, !file.isEmpty {
      let once = file
      while file.count < 2 * TextBlock.bytes { file.append(once) }
    }
    try file.withUnsafeBytes { file in
      try withFile(file) { path in
        guard let cut = try blocks(of: path) else { return }
        let reader = try LineReader(path)
        try cut.withUnsafeBytes { cut in
          var position = 0
          // A line that is too long ends this with an error.
          while let line = try reader.next() {
            let end = position + line.count
            try require(end <= cut.count, "blocks hold the lines of their file")
            if let found = line.baseAddress, let text = cut.baseAddress {
              try require(
                memcmp(found, text + position, line.count) == 0, "blocks hold the lines of their file")
            }
            position = end
            if position < cut.count, cut[position] == 13 { position += 1 }
            if position < cut.count, cut[position] == 10 { position += 1 }
          }
          try require(position == cut.count, "blocks hold no more than the lines of their file")
        }
      }
    }
  }

  /// The text of a file as blocks have it; nil if there is very much of it.
  private static func blocks(of path: String) throws -> Data? {
    let reader = try TextReader([path], layout: unparsed, blocks: 2)
    defer { reader.stop() }
    var text = Data()
    while let block = try reader.next() {
      try require(block.count <= TextBlock.bytes, "a block has its bytes at most")
      text.append(block.text.base, count: block.count)
      if text.count > 16 * TextBlock.bytes { return nil }
      try reader.giveBack(block)
    }
    return text
  }

  private static let criteoBlock = TextBlock(CriteoLayout.layout)

  /// The first byte says whether the label may be absent.
  static func criteo(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, text) = bytes.choice
    try parse(text, in: criteoBlock) { CriteoParser(labelIsOptional: choice & 1 == 1) }
  }

  private struct Table {
    let block: TextBlock
    let parser: SchemaParser
    let quantiles: [Int?]
  }

  /// A schema with everything that a column can be, in two formats, and one to predict with.
  private static let tables: [Table] = {
    let columns = """
      columns:
        - {name: label, type: label, positive: ["yes", "1"], negative: ["no", "0"]}
        - {name: plain, type: dense, missing: ["?", "NA"]}
        - {name: log, type: dense, transform: log1p}
        - {name: standard, type: dense, transform: standardise}
        - {name: few, type: dense, transform: bucketise, boundaries: [0, 1.5, 10]}
        - {name: many, type: dense, transform: bucketise, buckets: 8}
        - {name: text, type: categorical}
        - {name: number, type: categorical, values: integer}
        - {name: digits, type: categorical, values: hexadecimal, table: text}
        - {name: list, type: categorical, separator: "|", maximum_length: 4}
        - {name: numbers, type: categorical, separator: " ", values: integer, table: list}
        - {name: when, type: time, format: iso8601}
        - {name: part, type: split, train: [a, train], valid: [b], test: [c]}
        - {name: weight, type: weight}
        - {name: rest, type: ignore}

      """
    let formats = [
      ("separator: \",\"\n", false),
      ("separator: tab\nheader: false\nquotes: false\ntrim: true\nmissing: [\"-\"]\n", false),
      ("separator: \";\"\nother_columns: ignore\n", true),
    ]
    return formats.map { format, predicts in
      do {
        let schema = try SchemaReader.parse(format + columns, path: "schema")
        let parser = try SchemaParser(schema, predicts: predicts, precision: predicts ? .fp16 : .fp32)
        var quantiles = [Int?](repeating: nil, count: schema.columns.count)
        for (number, quantile) in schema.quantiles.enumerated() { quantiles[quantile.column] = number }
        return Table(block: TextBlock(parser.layout), parser: parser, quantiles: quantiles)
      } catch {
        fatalError("\(error)")
      }
    }
  }()

  /// The first byte says which schema.
  static func table(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, text) = bytes.choice
    let table = tables[Int(choice) % tables.count]
    let block = table.block
    if block.route == nil {
      block.route = SampleRoute(
        capacity: table.parser.layout.samplesPerBlock, quantileNumbers: table.quantiles)
    }
    try parse(text, in: block) { table.parser }
  }

  /// Parses `text` twice with other bytes behind it, which must make no difference.
  private static func parse(
    _ text: UnsafeRawBufferPointer, in block: TextBlock, _ parser: () -> any BlockParser
  ) throws {
    var found: [Parsed] = []
    for behind: UInt8 in [55, 9] {
      let count = min(text.count, TextBlock.bytes)
      if let source = text.baseAddress {
        UnsafeMutableRawPointer(block.text.base).copyMemory(from: source, byteCount: count)
      }
      (block.text.base + count).update(repeating: behind, count: min(64, TextBlock.bytes - count))
      block.count = count
      block.input = 0
      (block.isFirst, block.isLast) = (true, true)
      var parser = parser()
      try parser.begin(block, path: "log")
      block.route?.begin(block)
      parser.parse(block)
      found.append(try Parsed(block))
    }
    try require(found[0] == found[1], "what follows a text does not matter")
  }
}

/// What was parsed of a block.
private struct Parsed: Equatable {
  let numbers: [UInt32]
  let values: [[UInt8]]
  let problems: [String]

  init(_ block: TextBlock) throws {
    let samples = block.samples
    let count = samples.sampleCount
    let all = samples.dense.prefix(count * samples.denseCount)
    let labels = samples.labels.prefix(count)
    var numbers = (Array(all) + labels + samples.weights.prefix(count)).map(\.bitPattern)
    for bag in samples.bags { numbers += bag.offsets.prefix(count + 1) }
    self.numbers = numbers
    try require(labels.allSatisfy { $0 == 0 || $0 == 1 }, "a label is 0 or 1")
    let bad = block.problems.counts.reduce(0, +)
    try require(count + bad <= block.lines, "a line is a sample, bad, or nothing")
    let end = TextBlock.bytes + block.layout.tail.count
    values = try block.layout.tableNames.indices.flatMap { table in
      let column = block.column(table)
      return try (0..<column.count).map { use in
        try require(
          Int(column.starts[use]) + Int(column.lengths[use]) <= end, "a value lies in the text")
        return Array(column.value(use))
      }
    }
    problems = block.problems.errors(path: "log", after: 0).map(\.description)
  }
}
