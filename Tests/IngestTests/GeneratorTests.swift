import BatchStore
import Foundation
import Ingest
import Primitives
import TestSupport
import Testing

@Suite struct GeneratorTests {
  @Test func theSameSeedGivesTheSameBytes() throws {
    try withTemporaryDirectory { directory in
      func make(_ name: String, seed: UInt64, rows: Int = 2000) throws -> (Data, GenerateReport) {
        let path = directory.appendingPathComponent(name).path
        let report = try generate(GenerateOptions(output: path, samples: 500, rows: rows, seed: seed))
        return (try Data(contentsOf: URL(fileURLWithPath: path)), report)
      }
      let first = try make("a", seed: 7)
      let again = try make("b", seed: 7)
      #expect(first.0 == again.0 && first.1 == again.1)
      #expect(try make("c", seed: 8).0 != first.0)
      // A huge vocabulary costs no memory.
      #expect(try make("d", seed: 7, rows: 1 << 32).1.samples == 500)
      #expect(!File.exists(directory.path + "/a.partial"))
    }
  }

  @Test func skewLabelsAndSignalAreAsPlanned() throws {
    try withTemporaryDirectory { directory in
      let rows = 8000
      let options = GenerateOptions(output: directory.path + "/log", samples: 12_000, rows: rows, seed: 3)
      let report = try generate(options)
      #expect(report.samples == 12_000)
      #expect(abs(report.labelMean - 0.25) < 0.02)
      let auc = try #require(report.plantedAUC)
      #expect(auc > 0.76 && auc < 0.84)
      var counts: [Data: Int] = [:]
      var accesses = 0
      var negative = 0
      var empty = 0
      for line in try Data(contentsOf: URL(fileURLWithPath: options.output)).split(separator: 10) {
        let fields = line.split(separator: 9, omittingEmptySubsequences: false)
        #expect(fields.count == 40)
        negative += fields[1...13].count { $0.first == 45 }
        empty += fields[1...].count { $0.isEmpty }
        for column in 14..<40 where !fields[column].isEmpty {
          counts[Data([UInt8(column)]) + fields[column], default: 0] += 1
          accesses += 1
        }
      }
      let once = Double(counts.values.count { $0 == 1 }) / Double(counts.count)
      #expect(once > 0.25)
      #expect(negative > 0 && empty > 0 && counts.count <= rows)
      // So few rows leave 8 hot values to each column with a tail: 282 of 8,000 instead of one in a hundred.
      let hot = Double(counts.values.sorted(by: >).prefix(282).reduce(0, +)) / Double(accesses)
      #expect(hot > 0.85 && hot < 0.95)
    }
  }

  @Test func whatItMakesGoesThroughPreprocessing() throws {
    try withTemporaryDirectory { directory in
      let log = directory.path + "/log"
      _ = try generate(GenerateOptions(output: log, samples: 300, rows: 1000))
      let report = try preprocess(PreprocessOptions(inputs: [log], output: directory.path + "/data"))
      #expect(report.manifest.samples == 300)
    }
  }

  @Test func existingOutputsAndWrongOptionsAreRefused() throws {
    try withTemporaryDirectory { directory in
      let path = try directory.file("log", "mine")
      let error = #expect(throws: ChanterError.self) {
        try generate(GenerateOptions(output: path, samples: 1))
      }
      #expect(error?.kind == .exists)
      #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
      for (samples, rows) in [(0, 1000), (1, 999), (1, 1 << 33)] {
        let options = GenerateOptions(output: directory.path + "/x", samples: samples, rows: rows)
        #expect(throws: ChanterError.self) { try generate(options) }
      }
      struct Stop: Error {}
      let stopped = GenerateOptions(output: directory.path + "/y", samples: 10_000, rows: 1000)
      #expect(throws: Stop.self) { try generate(stopped) { _ in throw Stop() } }
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["log"])
    }
  }
}
