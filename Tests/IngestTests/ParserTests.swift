import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// What is wrong with a log is told with file, line, column, value and what was expected.
@Suite struct ParserTests {
  static let good = randomLine(CounterRandom(seed: 1, stream: 1))

  static func changed(_ field: Int, _ text: String) -> String {
    var fields = good.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    fields[field] = text
    return fields.joined(separator: "\t")
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    var line: String
    var says: [String]
    var testDescription: String { says.joined(separator: " … ") }
    init(_ line: String, _ says: String...) {
      self.line = line
      self.says = says
    }
  }

  static let bad = [
    Bad(changed(0, "2"), "label is '2'", "0 or 1"),
    Bad(changed(0, ""), "label is empty"),
    Bad(changed(0, "01"), "label is '01'"),
    Bad(changed(1, "1.5"), "integer 1 is '1.5'", "64-bit integer"),
    Bad(changed(4, "-"), "integer 4 is '-'"),
    Bad(changed(4, "+1"), "integer 4 is '+1'"),
    Bad(changed(13, "9223372036854775808"), "integer 13 is '9223372036854775808'"),
    Bad(changed(13, "99999999999999999999999"), "integer 13"),
    Bad(changed(14, "xyz"), "category 1 is 'xyz'", "hexadecimal"),
    Bad(changed(39, "0123456789abcdef0"), "category 26 is '0123456789abcdef0'"),
    Bad(changed(20, "\u{0}\u{7F}\u{1}"), "category 7 is '\\x00\\x7f\\x01'"),
    Bad(changed(20, "é"), "category 7 is '\\xc3\\xa9'"),
    Bad(changed(20, String(repeating: "z", count: 1000)), "category 7", "(1000 bytes)"),
    Bad(String(good.split(separator: "\t", maxSplits: 1)[1]), "fields is 39, expected 40"),
    Bad(good + "\t", "fields is 41"),
    Bad(good + String(repeating: "\t", count: 500), "fields is 540"),
    Bad("", "fields is 1"),
    Bad(String(repeating: "a", count: 70_000), "longer than 65535 bytes"),
    Bad(String(repeating: "a", count: 10_000_000), "longer than 65535 bytes"),
  ]

  @Test(arguments: bad)
  func aBadLineIsExplained(bad: Bad) throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", "\(Self.good)\n\(Self.good)\n\(bad.line)\n\(Self.good)\n")
      let error = #expect(throws: ChanterError.self) {
        try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
      }
      #expect(error?.kind == .badInput && error?.path == input && error?.line == 3)
      for text in bad.says { #expect(error?.message.contains(text) == true, "\(error?.message ?? "")") }
      #expect((error?.message.count ?? 0) < 200)
    }
  }

  @Test(arguments: [
    changed(1, "-9223372036854775808"), changed(1, "9223372036854775807"), changed(39, "0123456789abcDEF"),
    changed(0, "1"), "0" + String(repeating: "\t", count: 39),
  ])
  func edgesOfTheFormatAreAccepted(line: String) throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", line)
      let report = try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
      #expect(report.manifest.samples == 1)
    }
  }

  @Test func emptyMissingAndRandomFilesAreExplained() throws {
    try withTemporaryDirectory { directory in
      func failure(_ input: String) -> ChanterError? {
        #expect(throws: ChanterError.self) {
          try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
        }
      }
      #expect(failure(try directory.file("empty", ""))?.message.contains("empty") == true)
      #expect(failure(directory.path + "/none")?.kind == .io)
      #expect(failure(directory.path)?.message.contains("directory") == true)
      let random = CounterRandom(seed: 4, stream: 4)
      for round in 0..<20 {
        let own = CounterRandom(random, UInt64(round))
        let noise = Data((0..<5000).map { UInt8(truncatingIfNeeded: own.bits(UInt64($0))) })
        let error = failure(try directory.file("noise", noise))
        #expect(error?.kind == .badInput && error?.line != nil)
      }
    }
  }

  /// Lines that cross the reader's buffer come out whole.
  @Test func linesAcrossTheBufferAreWhole() throws {
    let lines = randomLog(lines: 9000, seed: 9)
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", lines.joined(separator: "\n"))
      let report = try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
      #expect(report.manifest.samples == 9000)
    }
  }

  /// Raw lines give the same rows and dense values as the dataset, with and without labels.
  @Test(arguments: [true, false])
  func rawBatchesEqualTheDataset(labels: Bool) throws {
    let lines = randomLog(lines: 150, seed: 6)
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", lines.joined(separator: "\n"))
      var options = PreprocessOptions(inputs: [input], output: directory.path + "/data")
      options.holdout = 0.5
      _ = try preprocess(options)
      let dataset = try Dataset(opening: options.output)
      let stored = try Split.allCases.flatMap { try storedSamples(dataset, $0).samples }
      let text = lines.map { labels ? $0 : String($0.dropFirst(2)) }.joined(separator: "\n")
      let encoder = try RawEncoder(
        try directory.file("raw", text), schema: .criteo, precision: .fp32,
        vocabulary: try dataset.vocabulary(), maximumSamples: 40)
      let batch = Batch(layout: encoder.layout)
      var samples: [StoredSample] = []
      var counts: [Int] = []
      while try encoder.next(into: batch) {
        counts.append(batch.sampleCount)
        samples += (0..<batch.sampleCount).map { batch.sample($0) }
        #expect(batch.nextUse.prefix(batch.uniqueCount).allSatisfy { $0 == 0 })
      }
      #expect(counts == [40, 40, 40, 30])
      #expect(samples.map(\.rows) == stored.map(\.rows) && samples.map(\.dense) == stored.map(\.dense))
      if labels { #expect(samples == stored) } else { #expect(samples.allSatisfy { $0.label == 0 }) }
    }
  }

  /// Blocks have room for the shortest lines there are.
  @Test func predictionTakesTheShortestLines() throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.good)
      _ = try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/data"))
      let line = String(repeating: "\t", count: 38) + "\n"
      let count = 2 * TextBlock.bytes / line.utf8.count + 10
      let encoder = try RawEncoder(
        try directory.file("raw", String(repeating: line, count: count)), schema: .criteo, precision: .fp32,
        vocabulary: try Dataset(opening: directory.path + "/data").vocabulary(), maximumSamples: 4096)
      let batch = Batch(layout: encoder.layout)
      var samples = 0
      while try encoder.next(into: batch) {
        samples += batch.sampleCount
        #expect(batch.keys.prefix(batch.uniqueCount).allSatisfy { $0.row == Vocabulary.emptyRow })
      }
      #expect(samples == count)
    }
  }

  @Test func predictionInputMustStayConsistent() throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.good)
      _ = try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/data"))
      let vocabulary = try Dataset(opening: directory.path + "/data").vocabulary()
      func failure(_ text: String) throws -> ChanterError? {
        let encoder = try RawEncoder(
          try directory.file("raw", text), schema: .criteo, precision: .fp32, vocabulary: vocabulary,
          maximumSamples: 10)
        let batch = Batch(layout: encoder.layout)
        return #expect(throws: ChanterError.self) { while try encoder.next(into: batch) {} }
      }
      let unlabelled = String(Self.good.dropFirst(2))
      #expect(try failure("\(Self.good)\n\(unlabelled)")?.message.contains("40 as in the first line") == true)
      #expect(try failure("\(unlabelled)\n\(Self.good)")?.line == 2)
      #expect(try failure("a\tb")?.message.contains("39 without the label") == true)
      #expect(try failure("")?.message.contains("empty") == true)
    }
  }
}
