import BatchStore
import CZlib
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// Files as they come: what is wrong is told with file, line, column, value and what was expected.
@Suite struct SchemaInputTests {
  static let schema = """
    missing: ["?"]
    columns:
      - { name: y, type: label }
      - { name: x, type: dense }
      - { name: city, type: categorical }
      - { name: id, type: categorical, values: integer }
      - { name: tags, type: categorical, separator: "|", values: hexadecimal }
      - { name: w, type: weight }
      - { name: t, type: time, format: iso8601 }
    """
  static let header = "y,x,city,id,tags,w,t\n"
  static let good = "1,2.5,Ulm,7,a|b,1,2014-10-21\n"

  /// Preprocesses files by the schema; the training samples.
  func samples(_ files: [Data], change: (inout PreprocessOptions) throws -> Void = { _ in }) throws -> (
    report: PreprocessReport, samples: [RawSample]
  ) {
    try withTemporaryDirectory { directory in
      let inputs = try files.enumerated().map { try directory.file("in\($0).csv", $1) }
      var options = PreprocessOptions(inputs: inputs, output: directory.path + "/data")
      options.schema = try SchemaReader.parse(Self.schema, path: "schema")
      options.holdout = 0
      try change(&options)
      let report = try preprocess(options)
      return (report, try rawSamples(Dataset(opening: options.output), .train))
    }
  }

  func failure(_ bytes: Data) -> ChanterError? { #expect(throws: ChanterError.self) { try samples([bytes]) } }

  @Test(arguments: [
    ("2,1,a,1,,1,2014-10-21", "column y is '2', expected 0 or 1"),
    (",1,a,1,,1,2014-10-21", "column y is empty, expected 0 or 1"),
    ("1,1e,a,1,,1,2014-10-21", "column x is '1e', expected a number or nothing"),
    ("1,nan,a,1,,1,2014-10-21", "column x is 'nan', expected a number"),
    ("1,1e300,a,1,,1,2014-10-21", "column x is '1e300', expected a number that 32 bits can hold"),
    ("1,0x10,a,1,,1,2014-10-21", "column x is '0x10'"),
    ("1,1,a,1.5,,1,2014-10-21", "column id is '1.5', expected a 64-bit integer"),
    ("1,1,a,9223372036854775808,,1,2014-10-21", "column id is '9223372036854775808'"),
    ("1,1,a,1,a|xyz,1,2014-10-21", "column tags is 'xyz', expected 1 to 16 hexadecimal digits"),
    ("1,1,a,1,,0,2014-10-21", "column w is '0', expected a number above 0"),
    ("1,1,a,1,,,2014-10-21", "column w is empty, expected a number above 0"),
    ("1,1,a,1,,1,2014-02-29", "column t is '2014-02-29', expected an ISO 8601 date"),
    ("1,1,a,1,,1", "number of fields is 6, expected 7 as in the header"),
    ("1,1,a,1,,1,2014-10-21,", "number of fields is 8, expected 7"),
    ("1,1,\"a,1,,1,2014-10-21", "column city opens a quote that its line does not close"),
    ("1,1,\"a\"b,1,,1,2014-10-21", "column city has text behind its closing quote"),
  ])
  func aBadFieldIsExplained(bad: (line: String, message: String)) throws {
    let error = failure(Data((Self.header + Self.good + bad.line + "\n" + Self.good).utf8))
    #expect(error?.kind == .badInput && error?.line == 3 && error?.path?.hasSuffix("in0.csv") == true)
    #expect(error?.message.contains(bad.message) == true, "\(error?.message ?? "")")
  }

  @Test func whatHalfPrecisionCannotHoldIsExplainedOrSkipped() throws {
    let text = Self.header + Self.good + "1,-65504,Ulm,7,,1,2014-10-21\n0,65505,Ulm,7,,1,2014-10-21\n"
    let error = #expect(throws: ChanterError.self) {
      try samples([Data(text.utf8)]) { $0.densePrecision = .fp16 }
    }
    #expect(error?.line == 4 && error?.path?.hasSuffix("in0.csv") == true)
    for part in ["column x is '65505'", "65,504", "--dense fp32"] {
      #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
    }
    let skipped = try samples([Data(text.utf8)]) {
      $0.densePrecision = .fp16
      $0.badLines = .skip(atMost: 1)
    }
    #expect(skipped.samples.count == 2 && skipped.report.skipped.count(.number) == 1)
    #expect(try samples([Data(text.utf8)]).samples.count == 3)
    // What is standardised is held against what becomes of it.
    let standardised = try samples([Data(text.utf8)]) {
      $0.densePrecision = .fp16
      $0.schema.columns[1].kind = .dense(.standardise(nil))
    }
    #expect(standardised.samples.count == 3)
  }

  @Test func wrongEncodingsAreExplained() {
    let latin = Data(Self.header.utf8) + Data("1,1,K".utf8) + Data([0xF6]) + Data("ln,1,,1,2014-10-21\n".utf8)
    let wrong = failure(latin)
    #expect(wrong?.line == 2 && wrong?.message.contains("'K\\xf6ln', expected UTF-8 text") == true)
    let nul = failure(Data((Self.header + "1,1,a\0b,1,,1,2014-10-21\n").utf8))
    #expect(nul?.line == 2 && nul?.message.contains("'a\\x00b', expected UTF-8 text without NUL") == true)
    let wide = failure((Self.header + Self.good).data(using: .utf16) ?? Data())
    #expect(wide?.line == 1 && wide?.message.contains("UTF-16") == true)
  }

  @Test func lineEndsAndMarksMayDiffer() throws {
    let expected = try samples([Data((Self.header + Self.good + Self.good).utf8)]).samples
    #expect(expected.count == 2)
    let variants = [
      (Self.header + Self.good + Self.good).replacingOccurrences(of: "\n", with: "\r\n"),
      Self.header + Self.good + Self.good.dropLast(),
      "\u{FEFF}" + Self.header + Self.good + "\n" + Self.good + "\n\n",
    ]
    for variant in variants { #expect(try samples([Data(variant.utf8)]).samples == expected) }
    // Each file has its own header, in any order of columns.
    let other = "city,id,t,w,tags,x,y\nUlm,7,2014-10-21,1,a|b,2.5,1\n"
    #expect(try samples([Data((Self.header + Self.good).utf8), Data(other.utf8)]).samples == expected)
  }

  @Test func aLineOfTenMegabytesIsRefusedInBoundedMemory() throws {
    var text = Data(Self.header.utf8) + Data("1,1,".utf8)
    text.append(Data(repeating: 97, count: 10 << 20))
    text += Data(("\n" + Self.good).utf8)
    let error = failure(text)
    #expect(error?.line == 2 && error?.message.contains("longer than") == true)
    let skipped = try samples([text]) { $0.badLines = .skip(atMost: 1) }
    #expect(skipped.report.skipped.count(.tooLong) == 1 && skipped.samples.count == 1)
    // A header of that length.
    let header = failure(Data(repeating: 97, count: 10 << 20))
    #expect(header?.line == 1 && header?.message.contains("longer than") == true)
  }

  @Test func emptyCutAndForeignFilesAreExplained() throws {
    #expect(failure(Data())?.message.contains("the file is empty") == true)
    #expect(failure(Data([0xEF, 0xBB, 0xBF]))?.message.contains("the file is empty") == true)
    #expect(failure(Data(Self.header.utf8))?.message.contains("no training sample") == true)
    #expect(failure(Data("a,b\n1,2\n".utf8))?.message.contains("'a', which the schema does not have") == true)
    #expect(failure(Data("y,x,city\n1,2,3\n".utf8))?.message.contains("no column 'id'") == true)
    #expect(failure(Data("y,y\n".utf8))?.message.contains("twice") == true)
    let text = Data((Self.header + String(repeating: Self.good, count: 5000)).utf8)
    let packed = try gzip(text)
    #expect(try samples([packed]).samples.count == 5000)
    let cut = failure(packed.prefix(packed.count / 2))
    #expect(cut?.message.contains("cut short") == true && cut?.path?.hasSuffix("in0.csv") == true)
  }

  @Test func predictionTakesTheShortestLines() throws {
    try withTemporaryDirectory { directory in
      let schema = try SchemaReader.parse(
        """
        columns:
          - { name: y, type: label }
          - { name: c, type: categorical }
          - { name: w, type: weight }
          - { name: t, type: time }
          - { name: p, type: split }
        """, path: "schema")
      var options = PreprocessOptions(
        inputs: [try directory.file("in.csv", "y,c,w,t,p\n1,a,1,5,train\n0,b,1,5,test\n")],
        output: directory.path + "/data")
      options.schema = schema
      options.holdout = 0
      _ = try preprocess(options)
      // The column that is learned from, and no other.
      let count = TextBlock.bytes
      let encoder = try RawEncoder(
        try directory.file("raw.csv", "c\n" + String(repeating: "a\n", count: count)), schema: schema,
        precision: .fp32, vocabulary: try Dataset(opening: options.output).vocabulary(), maximumSamples: 4096)
      let batch = Batch(layout: encoder.layout)
      var samples = 0
      while try encoder.next(into: batch) {
        samples += batch.sampleCount
        #expect(batch.keys.prefix(batch.uniqueCount).allSatisfy { $0.row == 2 })
      }
      #expect(samples == count)
    }
  }

  /// Bags are counted while they are read, so that a log of long ones is refused before it takes the memory; more memory
  /// has room for more.
  @Test func bagsBeyondTheMemoryAreRefusedWhileReading() throws {
    let entries = 4000
    let line = "1,2.5,Ulm,7,\(String(repeating: "a|", count: entries - 1))b,1,2014-10-21\n"
    func options(_ memory: Int) throws -> PreprocessOptions {
      var options = PreprocessOptions(inputs: ["in"], output: "out")
      options.schema = try SchemaReader.parse(Self.schema, path: "schema")
      options.batchSize = 200
      options.threads = 2
      options.memory = memory << 20
      return options
    }
    func limit(_ options: PreprocessOptions) throws -> Int {
      try PreprocessMemory(options, options.schema.layout).bagEntries
    }
    func read(_ lines: Int, _ memory: Int) throws -> Int {
      try samples([Data((Self.header + String(repeating: line, count: lines)).utf8)]) {
        let (inputs, output) = ($0.inputs, $0.output)
        $0 = try options(memory)
        ($0.inputs, $0.output, $0.holdout) = (inputs, output, 0)
      }.samples.count
    }
    let fitting = try limit(options(512)) / entries
    #expect(fitting * entries >= 200 * PreprocessMemory.usualBagLength && fitting < 100)
    #expect(try read(fitting, 512) == fitting)
    let error = #expect(throws: ChanterError.self) { try read(fitting + 1, 512) }
    #expect(error?.kind == .badInput && error?.path?.hasSuffix("in0.csv") == true)
    #expect(
      error?.message.hasPrefix("\(fitting + 1) samples in a row have \((fitting + 1) * entries) values")
        == true)
    #expect(try read(fitting + 1, 4096) == fitting + 1)
    // A bound above the usual length never asks for more than none.
    var bounded = try options(512)
    bounded.schema = try SchemaReader.parse(
      Self.schema.replacingOccurrences(of: "\"|\",", with: "\"|\", maximum_length: 100000,"), path: "schema")
    #expect(try limit(bounded) == limit(options(512)))
  }

  @Test func aValueFarFromTheMeanIsNoInfinity() throws {
    let schema =
      "columns:\n  - { name: y, type: label }\n  - { name: x, type: dense, transform: standardise }\n"
    let text = "y,x\n" + String(repeating: "0,0\n1,1e-30\n", count: 9) + "1,1e38\n1,0\n"
    let error = #expect(throws: ChanterError.self) {
      try samples([Data(text.utf8)]) {
        $0.schema = try SchemaReader.parse(schema, path: "schema")
        $0.holdout = 0.1
      }
    }
    #expect(error?.kind == .badInput && error?.message.contains("column x has the value 1e+38") == true)
  }

  @Test func aMissingLabelIsNoNegativeOne() throws {
    let text = "y,c\nyes,a\nNA,b\n"
    func failure(_ label: String) throws -> ChanterError? {
      #expect(throws: ChanterError.self) {
        try samples([Data(text.utf8)]) {
          $0.schema = try SchemaReader.parse(
            "missing: [NA]\ncolumns:\n  - { name: y, type: label, \(label) }\n  - { name: c, type: categorical }\n",
            path: "schema")
        }
      }
    }
    #expect(
      try failure("positive: [\"yes\"]")?.message.contains("column y is 'NA', expected a label") == true)
    #expect(try failure("positive: [\"yes\"], negative: [\"no\"]")?.message.contains("'yes', 'no'") == true)
  }

  @Test func skippedLinesAreCountedByReason() throws {
    let bad = ["2,1,a,1,,1,2014-10-21", "1,x,a,1,,1,2014-10-21", "1,y,a,1,,1,2014-10-21", "1"]
    let text = Self.header + Self.good + bad.joined(separator: "\n") + "\n" + Self.good
    let found = try samples([Data(text.utf8)]) { $0.badLines = .skip(atMost: 4) }
    #expect(found.samples.count == 2 && found.report.skipped.count == 4)
    #expect(found.report.skipped.count(.label) == 1 && found.report.skipped.count(.number) == 2)
    #expect(
      found.report.skipped.count(.fieldCount) == 1 && found.report.skipped.first.map(\.line) == [3, 4, 5, 6])
    #expect(throws: ChanterError.self) { try samples([Data(text.utf8)]) { $0.badLines = .skip(atMost: 3) } }
  }

  /// Whatever the bytes: an error with a path, or a dataset.
  @Test func randomBytesAreRefusedOrRead() throws {
    let random = CounterRandom(seed: 3, stream: 8)
    let text = Array((Self.header + String(repeating: Self.good, count: 4)).utf8)
    for round in 0..<40 {
      let own = CounterRandom(random, UInt64(round))
      var bytes = text
      for change in 0..<1 + own.below(8, 0) {
        let byte =
          own.below(3, 3 * change + 1) == 0 ? 44 : UInt8(truncatingIfNeeded: own.bits(3 * change + 2))
        bytes[Int(own.below(UInt64(bytes.count), 3 * change + 3))] = byte
      }
      do {
        _ = try samples([Data(bytes)])
      } catch let error as ChanterError {
        #expect(error.kind == .badInput && error.path != nil, "\(error)")
      }
    }
  }

  private func gzip(_ data: Data) throws -> Data {
    var stream = z_stream()
    #expect(
      deflateInit2_(
        &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size)) == Z_OK)
    defer { deflateEnd(&stream) }
    var source = [UInt8](data)
    var target = [UInt8](repeating: 0, count: data.count + 1000)
    let count = source.withUnsafeMutableBufferPointer { source in
      target.withUnsafeMutableBufferPointer { target in
        stream.next_in = source.baseAddress
        stream.avail_in = UInt32(source.count)
        stream.next_out = target.baseAddress
        stream.avail_out = UInt32(target.count)
        #expect(deflate(&stream, Z_FINISH) == Z_STREAM_END)
        return target.count - Int(stream.avail_out)
      }
    }
    return Data(target[..<count])
  }
}
