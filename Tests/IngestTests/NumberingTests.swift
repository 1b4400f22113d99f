import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// Which values get rows: caps, hashing, and the report on thresholds, each beside a plain count.
@Suite struct NumberingTests {
  private static let lines = randomLog(lines: 1500, seed: 91, values: 900)

  private static func values(_ column: Int, _ lines: some Collection<String>) -> [String] {
    lines.map { String($0.split(separator: "\t", omittingEmptySubsequences: false)[14 + column]) }
  }

  private static func make(
    _ directory: URL, _ change: (inout PreprocessOptions) -> Void
  ) throws -> (dataset: Dataset, report: PreprocessReport) {
    let input = try directory.file("log", lines.joined(separator: "\n"))
    var options = PreprocessOptions(inputs: [input], output: directory.path + "/out")
    options.batchSize = 128
    change(&options)
    let report = try preprocess(options)
    return (try Dataset(opening: options.output), report)
  }

  @Test(arguments: [3, 40, 200, 10_000])
  func mostRowsKeepsTheMostFrequent(maximumRows: Int) throws {
    try withTemporaryDirectory { directory in
      let made = try Self.make(directory) { $0.maximumRows = maximumRows }
      let vocabulary = try made.dataset.vocabulary()
      for table in 0..<26 {
        let values = Self.values(table, Self.lines[..<1350])
        let all = referenceRows(values, minimumCount: 1)
        var counts: [String: Int] = [:]
        for value in values where !value.isEmpty { counts[value, default: 0] += 1 }
        // The most frequent, of equal ones those that appeared first, in the order in which all would stand.
        let kept = Set(
          Self.firstAppearances(values).enumerated().sorted {
            let (left, right) = (counts[$0.element] ?? 0, counts[$1.element] ?? 0)
            return left != right ? left > right : $0.offset < $1.offset
          }.prefix(maximumRows - 2).map(\.element))
        let rows = all.filter { kept.contains($0.key) }.sorted { $0.value < $1.value }
        #expect(Int(vocabulary.tables[table].rows) == 2 + kept.count)
        for (position, value) in rows.enumerated() {
          let found = Array(value.key.utf8).withUnsafeBytes { vocabulary.lookup(table: table, $0) }
          #expect(found == UInt32(2 + position))
        }
      }
    }
  }

  private static func firstAppearances(_ values: [String]) -> [String] {
    var seen: Set<String> = []
    return values.filter { !$0.isEmpty && seen.insert($0).inserted }
  }

  /// Every value goes to its bucket, in the dataset and in raw input; only buckets that are used have rows.
  @Test func hashingNumbersBuckets() throws {
    try withTemporaryDirectory { directory in
      let made = try Self.make(directory) { $0.hashRows = 50 }
      let vocabulary = try made.dataset.vocabulary()
      #expect(vocabulary.hashRows == 50)
      let samples = try storedSamples(made.dataset, .train).samples
      for table in 0..<26 {
        let values = Self.values(table, Self.lines[..<1350])
        let buckets = values.map { value in
          value.isEmpty
            ? ""
            : String(
              HashedValue.bucket(Array(value.utf8).withUnsafeBytes { Fingerprint.short($0) }, of: 50))
        }
        let expected = referenceRows(buckets, minimumCount: 1)
        #expect(Int(vocabulary.tables[table].rows) == 2 + expected.count && expected.count <= 50)
        for (sample, (value, bucket)) in zip(samples, zip(values, buckets)) {
          let row = bucket.isEmpty ? 1 : expected[bucket]
          #expect(sample.rows[table] == row)
          #expect(Array(value.utf8).withUnsafeBytes { vocabulary.lookup(table: table, $0) } == row)
        }
      }
    }
  }

  @Test func thresholdsCountWhatEachWouldKeep() throws {
    try withTemporaryDirectory { directory in
      let thresholds = try Self.make(directory) { $0.minimumCount = 7 }.report.thresholds
      for (number, threshold) in ThresholdCounts.thresholds.enumerated() {
        var kept = 0
        var uses = 0
        var allUses = 0
        var unseen = 0
        var held = 0
        for table in 0..<26 {
          let rows = referenceRows(Self.values(table, Self.lines[..<1350]), minimumCount: threshold)
          kept += rows.count
          for value in Self.values(table, Self.lines[..<1350]) where !value.isEmpty {
            allUses += 1
            uses += rows[value] == nil ? 0 : 1
          }
          for value in Self.values(table, Self.lines[1350...]) where !value.isEmpty {
            held += 1
            unseen += rows[value] == nil ? 1 : 0
          }
        }
        #expect(thresholds.values(number) == kept)
        #expect(thresholds.trainingUses(number) == uses && thresholds.allTrainingUses == allUses)
        #expect(thresholds.unseenHeldUses(number) == unseen && thresholds.allHeldUses == held)
      }
    }
  }
}
