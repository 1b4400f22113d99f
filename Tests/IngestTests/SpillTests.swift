import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// Memory limits: whatever spills, the dataset has the same bytes.
@Suite struct SpillTests {
  struct Case: Sendable, CustomTestStringConvertible {
    /// Memory for values; 0 lets only empty ones in.
    var valueBytes: Int
    /// Memory for the values of a partition: a small one is split, perhaps more than once.
    var partitionBytes = Int.max
    var minimumCount = 1
    var maximumRows: Int?
    var hashRows: Int?
    var holdout = 0.1
    var threads = 2
    var testDescription: String {
      "\(valueBytes) bytes for values, \(partitionBytes) of a partition, min \(minimumCount), max \(maximumRows ?? 0), "
        + "hashed to \(hashRows ?? 0), \(holdout) held out, \(threads) threads"
    }

    func options(_ input: String, _ output: String) -> PreprocessOptions {
      var options = PreprocessOptions(inputs: [input], output: output)
      options.batchSize = 256
      options.minimumCount = minimumCount
      options.maximumRows = maximumRows
      options.hashRows = hashRows
      options.holdout = holdout
      options.threads = threads
      return options
    }
  }

  /// What a partition of no values takes.
  private static let least = 200_000
  static let cases = [
    Case(valueBytes: 0, minimumCount: 17), Case(valueBytes: 0, threads: 3),
    Case(valueBytes: 0, partitionBytes: least, maximumRows: 300),
    Case(valueBytes: 9_000_000, partitionBytes: least, threads: 1),
    Case(valueBytes: 9_000_000, minimumCount: 3, maximumRows: 90, holdout: 0.45, threads: 1),
    Case(valueBytes: 9_000_000, hashRows: 1_000_000, holdout: 0, threads: 1),
  ]

  /// Whether the test of these cases means what it says: some values in memory, others not.
  @Test(arguments: cases)
  func casesSpillSomeValuesOrAll(test: Case) throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.lines.joined(separator: "\n"))
      var options = test.options(input, directory.path + "/out")
      options.valueBytes = test.valueBytes
      let work = try RunWork(
        options.output, RunWork.Stamp(inputs: [], options: options.stamp()), notice: { _ in })
      let reading = try LogReading(
        options, CriteoParser(labelIsOptional: false),
        memory: try PreprocessMemory(options, CriteoLayout.layout), work: work,
        inputBytes: nil, pool: WorkerPool(threadCount: test.threads))
      try reading.run { _ in }
      let table = reading.tables[0]
      #expect(table.spilled.map { $0.useCount > 0 } == true)
      #expect((table.counter.provisionalRows > Vocabulary.reservedRows) == (test.valueBytes > 0))
    }
  }

  /// Values that go on appearing, frequent ones late in the log among them.
  static let lines = (0..<2).flatMap {
    randomLog(lines: 4500, seed: UInt64(30 + $0), values: 2000 * UInt64($0 + 1))
  }

  @Test(arguments: cases)
  func spillingDoesNotShow(test: Case) throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.lines.joined(separator: "\n"))
      func make(_ name: String, valueBytes: Int?) throws -> (files: [String: Data], report: PreprocessReport)
      {
        var options = test.options(input, "\(directory.path)/\(name)")
        options.valueBytes = valueBytes
        options.partitionBytes = test.partitionBytes
        let report = try preprocess(options)
        return (try InputTests.files(options.output), report)
      }
      let whole = try make("whole", valueBytes: nil)
      let spilled = try make("spilled", valueBytes: test.valueBytes)
      let names = whole.files.filter { spilled.files[$0.key] != $0.value }.keys
      #expect(names.isEmpty)
      #expect(spilled.report.holdoutUnseen == whole.report.holdoutUnseen)
      #expect(spilled.report.holdoutValues == whole.report.holdoutValues)
      #expect(spilled.report.thresholds == whole.report.thresholds)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).count == 3)
    }
  }

  /// A table of many values, all in one partition after another: every level splits, and the uses come back in order.
  @Test func partitionsAreSplitAgainAndAgain() throws {
    try withTemporaryDirectory { directory in
      let random = CounterRandom(seed: 8, stream: 8)
      let values = (0..<6000).map { String(random.below(1500, UInt64($0)), radix: 7) }
      let file = try StreamFile(directory.path + "/uses")
      let table = SpilledTable(file, table: 0)
      for (use, value) in values.enumerated() {
        try Array(value.utf8).withUnsafeBytes {
          try table.add($0, hash: Fingerprint.short($0), sample: use / 2, entry: use % 2)
        }
      }
      try table.finish()
      let scratch = try StreamFile(temporaryIn: directory.path)
      let work = SpillWork(
        scratch, training: 3000, minimumCount: 1, valueBytes: .max, leastDepth: 3)
      for partition in table.partitions { try partition.count(work) }
      // Rows in the order of the merge: by the rule that the plain reference follows.
      var merge = try SortedMerge(table.partitions)
      var row: UInt32 = 2
      while let partition = merge.partition {
        try table.partitions[partition].assign(row, scratch)
        row += 1
        try merge.advance()
      }
      for partition in table.partitions { try partition.resolve(scratch) }
      try table.resolve(file, number: SpilledTable.streams)
      let resolved = try StreamReader(file.streams(SpilledTable.streams + 1)[SpilledTable.streams])
      let expected = referenceRows(values, minimumCount: 1)
      for value in values { #expect(try resolved.nextInteger() == expected[value]) }
    }
  }

  /// A limit that cannot be kept is told with the least that can; one that can gives the same dataset.
  @Test func limitsAreCheckedAndKept() throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.lines[..<500].joined(separator: "\n"))
      var options = PreprocessOptions(inputs: [input], output: "\(directory.path)/small")
      options.memory = 10 << 20
      let error = #expect(throws: ChanterError.self) { try preprocess(options) }
      #expect(error?.kind == .budget && error?.message.contains("at least") == true)
      options.memory = 512 << 20
      let limited = try preprocess(options)
      options.output = "\(directory.path)/unlimited"
      options.memory = nil
      #expect(try preprocess(options).manifest == limited.manifest)
    }
  }

  @Test func streamsComeBackInOrder() throws {
    try withTemporaryDirectory { directory in
      let file = try StreamFile(directory.path + "/streams")
      let random = CounterRandom(seed: 5, stream: 5)
      let writers = (0..<3).map { StreamWriter(file, number: $0) }
      var expected = [[[UInt8]]](repeating: [], count: 3)
      for number in 0..<9000 {
        let stream = Int(random.below(2, UInt64(2 * number)))
        let value = (0..<Int(random.below(30, UInt64(2 * number + 1)))).map {
          UInt8(truncatingIfNeeded: $0 + number)
        }
        expected[stream].append(value)
        try value.withUnsafeBytes { try writers[stream].append(UInt64(number), .max, $0) }
      }
      for writer in writers { try writer.finish() }
      // As the headers in the file tell, and what was added later is not there.
      let later = StreamWriter(file, number: 1)
      let bytes = file.bytes
      try later.append(1)
      try later.finish()
      let readers = try StreamFile(directory.path + "/streams", keeping: bytes).streams(3).map {
        StreamReader($0)
      }
      // Turn by turn, so that blocks of several streams are decoded in between.
      for position in 0..<expected.map(\.count).max()! {
        for (stream, values) in expected.enumerated() where position <= values.count {
          #expect(try readers[stream].next() == (position < values.count))
          if position < values.count {
            #expect(readers[stream].bytes.elementsEqual(values[position]))
            #expect(readers[stream].second == .max)
          }
        }
      }
    }
  }

  @Test func recordsComeBackInOrder() throws {
    try withTemporaryDirectory { directory in
      let random = CounterRandom(seed: 5, stream: 5)
      let decoder = RecordDecoder()
      let files = try (0..<2).map { _ in try RecordFile(directory: directory.path) }
      func value(_ number: Int) -> [UInt8] {
        (0..<Int(random.below(30, UInt64(number)))).map { UInt8(truncatingIfNeeded: $0 + number) }
      }
      for number in 0..<9000 {
        try value(number).withUnsafeBytes {
          try files[number % 2].append(FileRecord(first: UInt64(number), second: 7, third: .max), $0)
        }
      }
      for file in files { try file.finish() }
      let readers = files.map { RecordReader($0, decoder) }
      // Turn by turn, so that blocks of both files are decoded in between.
      for number in 0..<9000 {
        let reader = readers[number % 2]
        #expect(try reader.next() && reader.bytes.elementsEqual(value(number)))
        #expect(
          reader.record.first == UInt64(number) && reader.record.second == 7 && reader.record.third == .max)
      }
      for reader in readers { #expect(try !reader.next()) }
    }
  }
}
