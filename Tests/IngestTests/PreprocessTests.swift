import BatchStore
import Foundation
import Ingest
import Primitives
import TestSupport
import Testing

@Suite struct PreprocessTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var lines = 700
    var batchSize = 64
    var holdout = 0.1
    var minimumCount = 1
    var testDescription: String {
      "\(lines) lines, batch \(batchSize), \(holdout) held out, min \(minimumCount)"
    }
  }

  static let cases = [
    Case(), Case(minimumCount: 3), Case(minimumCount: 17), Case(batchSize: 1000), Case(lines: 1),
    Case(lines: 10, batchSize: 3, holdout: 0.29), Case(lines: 64, batchSize: 32, holdout: 0.5),
    Case(lines: 90, batchSize: 1, holdout: 0), Case(lines: 100, batchSize: 65_536, holdout: 0.999),
  ]

  /// The whole way against the plain one: numbering, dense values, splits, batches.
  @Test(arguments: cases)
  func datasetsMatchThePlainWay(test: Case) throws {
    let lines = randomLog(lines: test.lines, seed: UInt64(test.lines))
    let fields = lines.map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    let held = Int((Double(test.lines) * test.holdout + 1e-9).rounded(.down))
    let training = test.lines - held
    let rows = (0..<26).map { table in
      referenceRows(fields[..<training].map { $0[14 + table] }, minimumCount: test.minimumCount)
    }
    let expected = fields.map { line in
      StoredSample(
        label: Float(line[0]) ?? -1,
        dense: (0..<13).map { Float(log1p(Double(max(0, Int(line[1 + $0]) ?? 0)))) },
        rows: (0..<26).map { line[14 + $0].isEmpty ? 1 : rows[$0][line[14 + $0], default: 0] })
    }
    try withTemporaryDirectory { directory in
      let input = try directory.file("log.tsv", lines.joined(separator: "\n") + "\n")
      var options = PreprocessOptions(inputs: [input], output: directory.path + "/data")
      options.batchSize = test.batchSize
      options.holdout = test.holdout
      options.minimumCount = test.minimumCount
      options.segmentBytes = 20_000
      let report = try preprocess(options)
      let dataset = try Dataset(opening: options.output)
      let train = try storedSamples(dataset, .train)
      let holdout = try storedSamples(dataset, .holdout)
      #expect(train.samples == Array(expected[..<training]))
      #expect(holdout.samples == Array(expected[training...]))
      for (batches, count) in [(train.batches, training), (holdout.batches, held)] {
        #expect(batches.dropLast().allSatisfy { $0 == test.batchSize })
        #expect(batches.reduce(0, +) == count)
      }
      #expect(dataset.manifest.tables.map { Int($0.rows) } == rows.map { $0.count + 2 })
      let heldRows = expected[training...].flatMap(\.rows)
      #expect(report.holdoutUnseen == heldRows.count { $0 == 0 })
      #expect(report.holdoutValues == heldRows.count { $0 != 1 })
      let vocabulary = try dataset.vocabulary()
      for (table, values) in rows.enumerated() {
        for (value, row) in values {
          #expect(Array(value.utf8).withUnsafeBytes { vocabulary.lookup(table: table, $0) } == row)
        }
      }
    }
  }

  @Test func severalInputsLineEndsAndALastLineWithoutOne() throws {
    let lines = randomLog(lines: 60, seed: 3)
    try withTemporaryDirectory { directory in
      let whole = try directory.file("whole", lines.joined(separator: "\n") + "\n")
      let first = try directory.file("first", lines[..<25].joined(separator: "\r\n") + "\r\n")
      let second = try directory.file("second", lines[25...].joined(separator: "\n"))
      let one = try preprocess(PreprocessOptions(inputs: [whole], output: directory.path + "/one"))
      let two = try preprocess(PreprocessOptions(inputs: [first, second], output: directory.path + "/two"))
      #expect(one.manifest == two.manifest)
      let file = "/train-00000.batches"
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: directory.path + "/one" + file))
          == Data(contentsOf: URL(fileURLWithPath: directory.path + "/two" + file)))
    }
  }

  @Test func standardInputGivesTheSameDataset() throws {
    let text = randomLog(lines: 60, seed: 3).joined(separator: "\n")
    try withTemporaryDirectory { directory in
      let path = try directory.file("log", text)
      let fromFile = try preprocess(PreprocessOptions(inputs: [path], output: directory.path + "/one"))
      // Standard input becomes a pipe for the time of this call.
      let saved = dup(0)
      defer {
        dup2(saved, 0)
        close(saved)
      }
      let pipe = Pipe()
      let writer = NamedThread("writer") {
        pipe.fileHandleForWriting.write(Data(text.utf8))
        try pipe.fileHandleForWriting.close()
      }
      dup2(pipe.fileHandleForReading.fileDescriptor, 0)
      let fromInput = try preprocess(PreprocessOptions(inputs: ["-"], output: directory.path + "/two"))
      #expect(writer.join() == nil)
      #expect(fromInput.manifest == fromFile.manifest)
    }
  }

  /// A bad line anywhere, an existing output or a callback that stops: nothing is left behind.
  @Test(arguments: [0, 30, 59])
  func aFailureLeavesNothing(badLine: Int) throws {
    var lines = randomLog(lines: 60, seed: 4)
    lines[badLine] = "nonsense"
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", lines.joined(separator: "\n"))
      let error = #expect(throws: ChanterError.self) {
        try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
      }
      #expect(error?.kind == .badInput && error?.path == input && error?.line == badLine + 1)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["log"])
    }
  }

  @Test func anExistingOutputIsUntouched() throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", randomLog(lines: 5, seed: 1).joined(separator: "\n"))
      let output = try directory.file("out", "mine")
      let error = #expect(throws: ChanterError.self) {
        try preprocess(PreprocessOptions(inputs: [input], output: output))
      }
      #expect(error?.kind == .exists)
      #expect(try String(contentsOfFile: output, encoding: .utf8) == "mine")
    }
  }

  @Test func wrongOptionsAreRefused() throws {
    func refuse(_ change: (inout PreprocessOptions) -> Void) {
      var options = PreprocessOptions(inputs: ["/nonexistent/log"], output: "/nonexistent/out")
      change(&options)
      let error = #expect(throws: ChanterError.self) { try preprocess(options) }
      #expect(error?.kind == .badInput)
    }
    refuse { $0.batchSize = 0 }
    refuse { $0.batchSize = 65_537 }
    refuse { $0.holdout = 1 }
    refuse { $0.holdout = -0.1 }
    refuse { $0.holdout = .nan }
    refuse { $0.minimumCount = 0 }
    refuse { $0.inputs = [] }
    refuse { $0.inputs = ["-", "-"] }
  }

  @Test(
    .enabled(if: sharedData("criteo_head8k.tsv") != nil, "the real logs are not beside this checkout"),
    arguments: [
      ("criteo_head8k.tsv", 8000), ("criteo_recoded20k.tsv", 20_000), ("criteo_1tb_head1k.tsv", 1000),
    ])
  func realLogsGoThrough(name: String, samples: Int) throws {
    let log = try #require(sharedData(name))
    try withTemporaryDirectory { directory in
      var options = PreprocessOptions(inputs: [log.path], output: directory.path + "/data")
      options.batchSize = 128
      options.minimumCount = 2
      let report = try preprocess(options)
      #expect(report.manifest.samples == samples && report.manifest.holdout.samples == samples / 10)
      let dataset = try Dataset(opening: options.output)
      let stored = try Split.allCases.flatMap { try storedSamples(dataset, $0).samples }
      // The labels of the raw log, in order.
      let labels = try String(contentsOf: log, encoding: .utf8).split(separator: "\n").map { $0.first == "1" }
      #expect(stored.map { $0.label == 1 } == labels)
    }
  }
}
