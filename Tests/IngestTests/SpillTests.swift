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
    var minimumCount = 1
    var holdout = 0.1
    var threads = 2
    var testDescription: String {
      "\(valueBytes) bytes for values, min \(minimumCount), \(holdout) held out, \(threads) threads"
    }
  }

  static let cases = [
    Case(valueBytes: 0, minimumCount: 17), Case(valueBytes: 0, threads: 3),
    Case(valueBytes: 8_000_000, threads: 1),
    Case(valueBytes: 8_000_000, minimumCount: 3, holdout: 0.45, threads: 1),
    Case(valueBytes: 8_000_000, holdout: 0, threads: 1),
  ]

  /// Whether the test of these cases means what it says: some values in memory, others not.
  @Test func casesSpillSomeValuesOrAll() throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.lines.joined(separator: "\n"))
      for test in Self.cases {
        var options = PreprocessOptions(inputs: [input], output: "")
        options.valueBytes = test.valueBytes
        options.threads = test.threads
        let reading = try LogReading(
          options, CriteoParser(labelIsOptional: false),
          memory: try PreprocessMemory(options, CriteoLayout.layout), directory: directory.path,
          pool: WorkerPool(threadCount: test.threads))
        try reading.run { _ in }
        #expect(reading.spilled != nil)
        #expect((reading.counters[0].provisionalRows > Vocabulary.reservedRows) == (test.valueBytes > 0))
      }
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
        var options = PreprocessOptions(inputs: [input], output: "\(directory.path)/\(name)")
        options.batchSize = 256
        options.minimumCount = test.minimumCount
        options.holdout = test.holdout
        options.threads = test.threads
        options.valueBytes = valueBytes
        let report = try preprocess(options)
        return (try InputTests.files(options.output), report)
      }
      let whole = try make("whole", valueBytes: nil)
      let spilled = try make("spilled", valueBytes: test.valueBytes)
      #expect(spilled.files == whole.files)
      #expect(spilled.report.holdoutUnseen == whole.report.holdoutUnseen)
      #expect(spilled.report.holdoutValues == whole.report.holdoutValues)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).count == 3)
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

  @Test func partitionsComeBackInOrder() throws {
    try withTemporaryDirectory { directory in
      let file = try PartitionedFile(directory: directory.path, partitions: 3)
      let random = CounterRandom(seed: 5, stream: 5)
      var expected = [[[UInt8]]](repeating: [], count: 3)
      for number in 0..<9000 {
        let partition = Int(random.below(2, UInt64(2 * number)))
        let value = (0..<Int(random.below(30, UInt64(2 * number + 1)))).map {
          UInt8(truncatingIfNeeded: $0 + number)
        }
        expected[partition].append(value)
        try value.withUnsafeBytes {
          try file.append(PartitionRecord(a: UInt64(number), b: 7, c: .max), $0, to: partition)
        }
      }
      try file.finish()
      let decoder = try PartitionDecoder()
      let readers = (0..<3).map { PartitionReader(file, $0, decoder) }
      // Turn by turn, so that blocks of several streams are decoded in between.
      for position in 0..<expected.map(\.count).max()! {
        for (partition, values) in expected.enumerated() where position <= values.count {
          #expect(try readers[partition].next() == (position < values.count))
          if position < values.count {
            #expect(readers[partition].bytes.elementsEqual(values[position]))
            #expect(readers[partition].record.b == 7 && readers[partition].record.c == .max)
          }
        }
      }
    }
  }
}
