import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// A sample of any schema as a dataset holds it, with raw values instead of rows.
struct RawSample: Equatable {
  var label: Float
  var weight: Float = 1
  var dense: [Float] = []
  /// By feature; a row without a value is `<unseen>` or `<empty>`.
  var values: [[String]] = []
}

func rawSamples(_ dataset: Dataset, _ split: Split) throws -> [RawSample] {
  let vocabulary = try dataset.vocabulary()
  let reader = try dataset.reader(split)
  let batch = Batch(layout: reader.layout)
  return try (0..<reader.batchCount).flatMap { index -> [RawSample] in
    try reader.read(index, into: batch)
    return batch.rawSamples(vocabulary)
  }
}

extension Batch {
  func rawSamples(_ vocabulary: Vocabulary) -> [RawSample] {
    (0..<sampleCount).map { sample in
      var bag = 0
      let values = layout.features.enumerated().map { number, feature -> [String] in
        let start = Int(entryOffsets[number])
        var entries = start + sample..<start + sample + 1
        if feature.isBag {
          let place = bag * (sampleCount + 1) + sample
          entries = start + Int(bagOffsets[place])..<start + Int(bagOffsets[place + 1])
          bag += 1
        }
        return entries.map { entry in
          let row = keys[Int(inverse[entry])].row
          if let value = vocabulary.value(table: feature.table, row: row) {
            return String(decoding: value, as: UTF8.self)
          }
          return row == 0 ? "<unseen>" : "<empty>"
        }
      }
      return RawSample(
        label: labels[sample], weight: weights[sample],
        dense: (0..<layout.denseCount).map { dense[sample * layout.denseCount + $0] }, values: values)
    }
  }
}

@Suite struct SchemaTests {
  /// A time is written so that it reads back as it is.
  @Test func timesAreWrittenAsTheyAreRead() {
    func read(_ text: String) -> Int64? {
      Array(text.utf8).withUnsafeBufferPointer { text in
        text.baseAddress.flatMap { FieldValues.iso8601($0, text.count) }
      }
    }
    for (text, time) in [
      ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999999Z", -1),
      ("2014-10-21T05:30:00.5Z", 1_413_869_400_500_000), ("2000-02-29T00:00:00Z", 951_782_400_000_000),
      ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
    ] as [(String, Int64)] {
      #expect(TimeFormat.iso8601.text(time) == text && read(text) == time)
    }
    let random = CounterRandom(seed: 9, stream: 9)
    for draw in 0..<2000 {
      // From the year 1 to 9999.
      let time = Int64(random.below(315_000_000, UInt64(draw))) * 1_000_000_000 - 62_000_000_000_000_000
      let text = TimeFormat.iso8601.text(time + Int64(draw))
      #expect(text.flatMap(read) == time + Int64(draw), "\(time)")
    }
    for time in [Int64.min, -1 << 57, 253_402_300_800_000_000, .max] {
      #expect(TimeFormat.iso8601.text(time) == nil)
    }
    #expect(TimeFormat.integer.text(0) == nil)
  }

  /// Preprocesses `text` by `schema` and gives the samples of each part.
  func samples(
    _ schema: String, _ text: String, change: (inout PreprocessOptions) -> Void = { $0.holdout = 0 }
  ) throws -> [Split: [RawSample]] {
    try withTemporaryDirectory { directory in
      var options = PreprocessOptions(
        inputs: [try directory.file("in.csv", text)], output: directory.path + "/data")
      options.schema = try SchemaReader.parse(schema, path: "schema")
      change(&options)
      _ = try preprocess(options)
      let dataset = try Dataset(opening: options.output)
      return try Dictionary(uniqueKeysWithValues: Split.allCases.map { ($0, try rawSamples(dataset, $0)) })
    }
  }

  static let everything = """
    missing: [NA]
    trim: true
    columns:
      - { name: y, type: label, threshold: 4 }
      - { name: x, type: dense, missing: ["-1"] }
      - { name: l, type: dense, transform: log1p }
      - { name: age, type: dense, transform: bucketise, boundaries: [18, 65.5] }
      - { name: city, type: categorical }
      - { name: id, type: categorical, values: integer }
      - { name: genres, type: categorical, separator: "|", maximum_length: 3, table: genre }
      - { name: favourite, type: categorical, table: genre }
      - { name: w, type: weight }
      - { name: note, type: ignore }
    """

  @Test func everyKindOfColumn() throws {
    let text = #"""
      note,favourite,y,x,l,age,city,id,genres,w
      n,Drama,4,1.5,0,17.9,"Paris, ""TX""",007,Drama|Comedy,1
      "a,b",,3.9,-1,3,18,  Köln ,-0,,0.5
      ,NA,5e0,-2.25e1,NA,65.5,,+12,Action||NA|Comedy|Drama|War,2
      x,War,-1,,-7,NA,NA,NA,NA,1
      """#
    let found = try samples(Self.everything, text + "\r")
    #expect(
      found[.train] == [
        RawSample(
          label: 1, dense: [1.5, 0],
          values: [["<18"], ["Paris, \"TX\""], ["7"], ["Drama", "Comedy"], ["Drama"]]),
        RawSample(
          label: 0, weight: 0.5, dense: [0, Float(log1p(3.0))],
          values: [["18..65.5"], ["Köln"], ["0"], [], ["<empty>"]]),
        RawSample(
          label: 1, weight: 2, dense: [-22.5, 0],
          values: [[">=65.5"], ["<empty>"], ["12"], ["Action", "Comedy", "Drama"], ["<empty>"]]),
        RawSample(
          label: 0, dense: [0, 0], values: [["<empty>"], ["<empty>"], ["<empty>"], [], ["War"]]),
      ])
  }

  /// The value of a shared table is numbered where a sample uses it first, whichever column that is.
  @Test func columnsOfOneTableShareRows() throws {
    let schema = """
      header: false
      columns:
        - { name: y, type: label }
        - { name: a, type: categorical, table: t }
        - { name: b, type: categorical, separator: ";", table: t }
        - { name: c, type: categorical }
      """
    try withTemporaryDirectory { directory in
      var options = PreprocessOptions(
        inputs: [try directory.file("in", "0,u,v;w,u\n1,w,u,v\n0,x,,x")], output: directory.path + "/data")
      options.schema = try SchemaReader.parse(schema, path: "schema")
      options.holdout = 0
      let report = try preprocess(options)
      #expect(
        report.manifest.tables.map(\.name) == ["t", "c"] && report.manifest.tables.map(\.rows) == [6, 5])
      let vocabulary = try Dataset(opening: options.output).vocabulary()
      func value(_ row: UInt32) -> String {
        String(decoding: vocabulary.value(table: 0, row: row) ?? .init(start: nil, count: 0), as: UTF8.self)
      }
      #expect((2..<6).map { value($0) } == ["u", "v", "w", "x"])
    }
  }

  @Test func partsComeFromInputsAndShares() throws {
    let schema = "columns:\n  - { name: y, type: label }\n  - { name: x, type: dense }\n"
    func rows(_ range: Range<Int>) -> String { "y,x\n" + range.map { "0,\($0)\n" }.joined() }
    func found(_ change: (inout PreprocessOptions, URL) throws -> Void) throws -> [[Int]] {
      try withTemporaryDirectory { directory in
        var options = PreprocessOptions(
          inputs: [try directory.file("a", rows(0..<60)), try directory.file("b", rows(60..<100))],
          output: directory.path + "/data")
        options.schema = try SchemaReader.parse(schema, path: "schema")
        options.holdout = 0
        options.batchSize = 7
        try change(&options, directory)
        _ = try preprocess(options)
        let dataset = try Dataset(opening: options.output)
        return try Split.allCases.map { split in
          let reader = try dataset.reader(split)
          let batch = Batch(layout: reader.layout)
          return try (0..<reader.batchCount).flatMap { index -> [Int] in
            try reader.read(index, into: batch)
            return (0..<batch.sampleCount).map { Int(batch.dense[$0]) }
          }
        }
      }
    }
    #expect(
      try found { options, _ in
        options.holdout = 0.1
        options.validShare = 0.05
      } == [Array(0..<85), Array(85..<90), Array(90..<100)])
    #expect(
      try found { options, directory in
        options.validInputs = [try directory.file("v", rows(100..<130))]
        options.testInputs = [
          try directory.file("t", rows(130..<140)), try directory.file("u", rows(140..<150)),
        ]
      } == [Array(0..<100), Array(100..<130), Array(130..<150)])
    #expect(
      try found { options, directory in
        options.holdout = 0.2
        options.validInputs = [try directory.file("v", rows(100..<130))]
      } == [Array(0..<80), Array(100..<130), Array(80..<100)])
    #expect(
      try found { options, directory in
        options.validShare = 0.2
        options.testInputs = [try directory.file("t", rows(100..<130))]
      } == [Array(0..<80), Array(80..<100), Array(100..<130)])
  }

  /// Against the plain definition, with a mean that is large beside the deviation; held-out samples do not count.
  @Test(arguments: [1, 3], [5, 64])
  func standardisedColumnsHaveTheMomentsOfTheTrainingPart(threads: Int, batchSize: Int) throws {
    let schema = """
      columns:
        - { name: y, type: label }
        - { name: x, type: dense, transform: standardise }
        - { name: constant, type: dense, transform: standardise }
        - { name: nothing, type: dense, transform: standardise }
      """
    let random = CounterRandom(seed: 1, stream: 1)
    let values = (0..<400).map { Float(100_000 + random.normal(UInt64($0))) }
    let text =
      "y,x,constant,nothing\n"
      + values.enumerated().map { "\($0 % 2),\($0 % 10 == 3 ? "" : "\($1)"),7,\n" }.joined()
    let found = try samples(schema, text) {
      $0.holdout = 0.25
      $0.threads = threads
      $0.batchSize = batchSize
    }
    let training = values[..<300].enumerated().filter { $0.offset % 10 != 3 }.map { Double($0.element) }
    let mean = training.reduce(0, +) / Double(training.count)
    let deviation =
      (training.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(training.count)).squareRoot()
    let all = (found[.train] ?? []) + (found[.holdout] ?? [])
    #expect(all.count == 400)
    for (sample, value) in zip(all, values.enumerated()) {
      let expected = value.offset % 10 == 3 ? 0 : (Double(value.element) - mean) / deviation
      #expect(abs(Double(sample.dense[0]) - expected) < 1e-6)
      #expect(sample.dense[1] == 0 && sample.dense[2] == 0)
    }
  }

  /// Quoted fields, bags and shared tables over many blocks of text: the same bytes for any number of threads, and what
  /// `predict` reads is what the dataset has.
  @Test func theResultDoesNotDependOnThreadsAndPredictionReadsTheSame() throws {
    let random = CounterRandom(seed: 9, stream: 4)
    var text = "y,x,l,age,city,id,genres,favourite,w,note\n"
    for line in 0..<9000 {
      let own = CounterRandom(random, UInt64(line))
      let genres = (0..<own.below(5, 1)).map { "g\(own.below(40, 10 + $0))" }.joined(separator: "|")
      text +=
        "\(own.below(8, 2)),\(own.below(100, 3)),\(own.below(9, 4)),\(own.below(90, 5)),\"c, \"\"\(own.below(700, 6))\"\"\","
        + "\(own.below(3000, 7)),\(genres),g\(own.below(50, 8)),\(1 + own.below(3, 9)),\(String(repeating: "n", count: 40))\n"
    }
    try withTemporaryDirectory { directory in
      let input = try directory.file("in.csv", text)
      #expect(text.utf8.count > 2 * TextBlock.bytes)
      var files: [[String: Data]] = []
      for threads in [1, 2, 5] {
        var options = PreprocessOptions(inputs: [input], output: "\(directory.path)/data\(threads)")
        options.schema = try SchemaReader.parse(Self.everything, path: "schema")
        options.threads = threads
        options.batchSize = 100
        options.minimumCount = 2
        options.densePrecision = .fp16
        _ = try preprocess(options)
        files.append(
          try Dictionary(
            uniqueKeysWithValues: FileManager.default.contentsOfDirectory(atPath: options.output).map {
              ($0, try Data(contentsOf: URL(fileURLWithPath: "\(options.output)/\($0)")))
            }))
      }
      #expect(files[0] == files[1] && files[0] == files[2])
      let dataset = try Dataset(opening: "\(directory.path)/data1")
      let stored = try Split.allCases.flatMap { try rawSamples(dataset, $0) }
      let vocabulary = try dataset.vocabulary()
      let schema = try Schema(json: #require(dataset.manifest.schema), path: "")
      let encoder = try RawEncoder(
        input, schema: schema, precision: .fp16, vocabulary: vocabulary, maximumSamples: 70)
      let batch = Batch(layout: encoder.layout)
      var raw: [RawSample] = []
      while try encoder.next(into: batch) { raw += batch.rawSamples(vocabulary) }
      #expect(raw == stored)
    }
  }
}
