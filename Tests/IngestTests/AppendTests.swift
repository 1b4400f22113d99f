import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// Logs that are appended to a dataset, against the rule applied to plain arrays.
@Suite struct AppendTests {
  private struct Log {
    let fields: [[String]]
    let training: Int
    let text: String

    /// - Parameter values: those of a later log are other ones, but for some.
    init(lines: Int, seed: UInt64, values: UInt64, held: Int) {
      let lines = randomLog(lines: lines, seed: seed, values: values)
      fields = lines.map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
      training = lines.count - held
      text = lines.joined(separator: "\n") + "\n"
    }

    func values(_ table: Int) -> [String] { fields[..<training].map { $0[14 + table] } }

    func samples(_ rows: [[String: UInt32]]) -> [StoredSample] {
      fields.map { line in
        StoredSample(
          label: Float(line[0]) ?? -1,
          dense: (0..<13).map { Float(log1p(Double(max(0, Int(line[1 + $0]) ?? 0)))) },
          rows: (0..<26).map { line[14 + $0].isEmpty ? 1 : rows[$0][line[14 + $0], default: 0] })
      }
    }
  }

  private static let logs = [
    Log(lines: 300, seed: 1, values: 30, held: 30), Log(lines: 205, seed: 2, values: 90, held: 20),
    Log(lines: 64, seed: 3, values: 200, held: 6),
  ]

  /// The rows after each log: old ones stay, and the rule holds among the new ones.
  private static func rows(minimumCounts: [Int]) -> [[[String: UInt32]]] {
    var all: [[[String: UInt32]]] = []
    var known = [[String: UInt32]](repeating: [:], count: 26)
    for (log, minimumCount) in zip(logs, minimumCounts) {
      for table in 0..<26 {
        let new = log.values(table).filter { known[table][$0] == nil }
        let first = UInt32(known[table].count)
        for (value, row) in referenceRows(new, minimumCount: minimumCount) {
          known[table][value] = first + row
        }
      }
      all.append(known)
    }
    return all
  }

  @discardableResult
  private static func append(
    _ log: Int, to base: String?, as output: String, in directory: URL,
    _ change: (inout PreprocessOptions) -> Void = { _ in }
  ) throws -> PreprocessReport {
    let input = try directory.file("log-\(log)", logs[log].text)
    var options = PreprocessOptions(inputs: [input], output: "\(directory.path)/\(output)")
    options.batchSize = 64
    options.segmentBytes = 4000
    if let base { try options.extend(Dataset(opening: "\(directory.path)/\(base)")) }
    change(&options)
    return try preprocess(options)
  }

  @Test(arguments: [[1, 1, 1], [1, 2, 17]])
  func oldRowsStayAndNewOnesFollowTheRule(minimumCounts: [Int]) throws {
    let rows = Self.rows(minimumCounts: minimumCounts)
    try withTemporaryDirectory { directory in
      for (log, count) in minimumCounts.enumerated() {
        let report = try Self.append(
          log, to: log == 0 ? nil : "data-\(log - 1)", as: "data-\(log)", in: directory
        ) { $0.minimumCount = count }
        #expect(report.manifest.parts.count == log + 1)
        #expect(report.manifest.tables.map { Int($0.rows) } == rows[log].map { $0.count + 2 })
      }
      let dataset = try Dataset(opening: "\(directory.path)/data-2")
      var expected: (train: [StoredSample], holdout: [StoredSample]) = ([], [])
      var batches: [Int] = []
      for (log, rows) in zip(Self.logs, rows) {
        let samples = log.samples(rows)
        expected.train += samples[..<log.training]
        expected.holdout += samples[log.training...]
        batches += Array(repeating: 64, count: log.training / 64)
        if log.training % 64 > 0 { batches.append(log.training % 64) }
      }
      let train = try storedSamples(dataset, .train)
      #expect(train.samples == expected.train && train.batches == batches)
      #expect(try storedSamples(dataset, .holdout).samples == expected.holdout)
      let labels = expected.train.reduce(0) { $0 + Double($1.label) } / Double(expected.train.count)
      #expect(abs(dataset.manifest.train.labelMean - labels) < 1e-12)
      let vocabulary = try dataset.vocabulary()
      #expect(
        vocabulary.parent == (try Dataset(opening: "\(directory.path)/data-1").manifest.vocabularyIdentity))
      for table in 0..<26 {
        for (value, row) in rows[2][table] {
          #expect(Array(value.utf8).withUnsafeBytes { vocabulary.lookup(table: table, $0) } == row)
        }
      }
      // Other batches of all of it.
      var options = RebatchOptions(dataset: dataset.path, output: "\(directory.path)/other", batchSize: 50)
      options.memory = 256 << 20
      let other = try rebatch(options).manifest
      #expect(other.vocabularyIdentity == dataset.manifest.vocabularyIdentity && other.parts.count == 1)
      #expect(other.vocabularyAncestors == dataset.manifest.parts.dropLast().map(\.vocabularyIdentity))
      #expect(try storedSamples(Dataset(opening: options.output), .train).samples == expected.train)
    }
  }

  /// Threads, memory and a stop in between change no byte, whether values are exact or hashed.
  @Test(arguments: [nil, 40])
  func theBytesAreTheSame(hashRows: Int?) throws {
    struct Stop: Error {}
    try withTemporaryDirectory { directory in
      try Self.append(0, to: nil, as: "old", in: directory) { $0.hashRows = hashRows }
      try Self.append(1, to: "old", as: "plain", in: directory) { $0.threads = 1 }
      let expected = try InputTests.files("\(directory.path)/plain")
      var phases: Set<String> = []
      try Self.append(1, to: "old", as: "spilled", in: directory) {
        $0.threads = 2
        $0.valueBytes = 150_000
        $0.partitionBytes = 300_000
      }
      #expect(try InputTests.files("\(directory.path)/spilled") == expected)

      var options = PreprocessOptions(
        inputs: ["\(directory.path)/log-1"], output: "\(directory.path)/stopped")
      options.segmentBytes = 4000
      try options.extend(Dataset(opening: "\(directory.path)/old"))
      options.threads = 1
      options.valueBytes = 150_000
      options.partitionBytes = 300_000
      for phase in [PreprocessProgress.Phase.reading, .numbering, .encoding, .nextUses, .writing] {
        #expect(throws: Stop.self) {
          _ = try preprocess(
            options,
            progress: {
              phases.insert($0.phase.rawValue)
              if $0.phase == phase { throw Stop() }
            })
        }
      }
      var notices: [String] = []
      _ = try preprocess(options, notice: { notices.append($0) })
      #expect(notices.first == "going on where an earlier run stopped")
      #expect(notices.dropFirst().allSatisfy { $0.hasPrefix("kept: ") } && notices.count == 3, "\(notices)")
      // Some values went through the disk.
      #expect(phases.contains(PreprocessProgress.Phase.resolving.rawValue))
      #expect(try InputTests.files("\(directory.path)/stopped") == expected)
    }
  }

  @Test func aLimitOfRowsCountsTheOldOnes() throws {
    try withTemporaryDirectory { directory in
      let old = try Self.append(0, to: nil, as: "old", in: directory).manifest
      let limit = (old.tables.map(\.rows).max() ?? 0) + 3
      let new = try Self.append(1, to: "old", as: "new", in: directory) { $0.maximumRows = Int(limit) }
      #expect(new.manifest.tables.allSatisfy { $0.rows == limit })
      let less = try Self.append(1, to: "old", as: "less", in: directory) { $0.maximumRows = 3 }
      #expect(less.manifest.tables == old.tables)
    }
  }

  @Test func whatCannotBeAppendedIsTold() throws {
    func message(_ body: () throws -> Void) -> String {
      #expect(throws: ChanterError.self) { try body() }?.description ?? ""
    }
    try withTemporaryDirectory { directory in
      try Self.append(0, to: nil, as: "old", in: directory)
      let old = try InputTests.files("\(directory.path)/old")
      #expect(
        message { try Self.append(1, to: "old", as: "old", in: directory) }.contains(
          "give --out another path"))
      try FileManager.default.createDirectory(
        atPath: "\(directory.path)/half.partial", withIntermediateDirectories: false)
      #expect(
        message { try Self.append(1, to: "half.partial", as: "x", in: directory) }.contains(
          "no finished dataset")
      )
      #expect(
        message {
          try Self.append(1, to: "old", as: "x", in: directory) { $0.memory = 1 << 20 }
        }.contains("--memory"))
      #expect(
        message {
          try Self.append(1, to: "old", as: "x", in: directory) { $0.valueBytes = 10_000 }
        }.contains("values of the dataset that is extended"))
      let rows = try DatasetWriter(
        to: PendingOutput("\(directory.path)/rows"), tables: [TableLayout(name: "a", rows: 5)], denseCount: 0,
        batchSize: 1)
      let sample = SampleBatch(tableCount: 1, denseCount: 0, capacity: 1)
      sample.sampleCount = 1
      try rows.append(sample, to: .train)
      _ = try rows.finish()
      #expect(message { try Self.append(1, to: "rows", as: "x", in: directory) }.contains("row numbers"))
      var options = PreprocessOptions(inputs: ["\(directory.path)/log-1"], output: "\(directory.path)/x")
      let base = try Dataset(opening: "\(directory.path)/old")
      var schema = Schema.criteo
      schema.columns[3].name = "another"
      #expect(message { try options.extend(base, schema: schema) }.contains("another schema"))
      try options.extend(base, schema: .criteo)
      // All of them leave the old dataset as it was.
      #expect(try InputTests.files("\(directory.path)/old") == old)
      #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/x"))
    }
  }

  /// Numbers are standardised and cut into buckets as in the old data; the times to split by may be others.
  @Test func statisticsStayThoseOfTheFirstPart() throws {
    func schema(validFrom: Int) throws -> Schema {
      try SchemaReader.parse(
        """
        separator: ","
        header: false
        split: {valid_from: \(validFrom)}
        columns:
          - {name: label, type: label}
          - {name: time, type: time, format: integer}
          - {name: width, type: dense, transform: standardise}
          - {name: height, type: dense, transform: bucketise, buckets: 4}
          - {name: kind, type: categorical}
        """, path: "schema")
    }
    try withTemporaryDirectory { directory in
      let old = try directory.file(
        "old", (0..<40).map { "\($0 % 2),\($0),\($0),\($0),k\($0 % 3)\n" }.joined())
      let new = try directory.file(
        "new", (40..<80).map { "\($0 % 2),\($0),\(10 * $0),\(10 * $0),k\($0 % 5)\n" }.joined())
      var options = PreprocessOptions(inputs: [old], output: "\(directory.path)/data")
      options.schema = try schema(validFrom: 30)
      options.holdout = 0
      options.batchSize = 8
      let first = try preprocess(options).manifest
      var more = PreprocessOptions(inputs: [new], output: "\(directory.path)/more")
      more.holdout = 0
      try more.extend(Dataset(opening: options.output), schema: try schema(validFrom: 70))
      let second = try preprocess(more).manifest
      #expect(second.parts.map(\.train) == [30, 30] && second.parts.map(\.valid) == [10, 10])
      let (before, after) = try (
        Schema(json: try #require(first.schema), path: ""),
        Schema(json: try #require(second.schema), path: "")
      )
      #expect(before.columns == after.columns && before.split != after.split)
      let train = try storedSamples(Dataset(opening: more.output), .train).samples
      let deviation = (0..<30).map { pow(Double($0) - 14.5, 2) }.reduce(0, +) / 30
      #expect(abs(train[0].dense[0] - Float(-14.5 / deviation.squareRoot())) < 1e-6)
      #expect(abs(train[30].dense[0] - Float((400 - 14.5) / deviation.squareRoot())) < 1e-4)
      // The last of the four buckets.
      #expect(train[29].rows[0] == train[30].rows[0] && train[30].rows[0] == train[59].rows[0])
    }
  }
}
