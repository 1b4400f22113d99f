import Foundation
import Primitives
import TestSupport
import Testing

@testable import BatchStore

/// Datasets that were extended, against the plain definitions on all of their samples.
@Suite struct ExtensionTests {
  private static let tables = [TableLayout(name: "a", rows: 40), TableLayout(name: "b", rows: 300)]

  private static func tables(_ part: Int) -> [TableLayout] {
    tables.map { TableLayout(name: $0.name, rows: $0.rows + UInt32(25 * part)) }
  }

  /// The samples of one part; a later one uses rows that the earlier ones lack.
  private static func samples(_ count: Int, part: Int, split: Split) -> ReferenceSplit {
    ReferenceSplit(
      samples: count, tables: tables(part), denseCount: 1,
      seed: UInt64(10 * part + Split.allCases.firstIndex(of: split)! + count))
  }

  /// Datasets of the first part, of the first two, and so on.
  private static func write(
    _ parts: [[Split: Int]], batchSize: Int, in directory: URL, segmentBytes: Int, rowsPerPartition: Int
  ) throws -> [String] {
    var paths: [String] = []
    for (number, counts) in parts.enumerated() {
      let path = directory.appendingPathComponent("data-\(number)").path
      let writer = try DatasetWriter(
        to: PendingOutput(path), content: DatasetContent(tables: tables(number), denseCount: 1),
        batchSize: batchSize, segmentBytes: segmentBytes, rowsPerPartition: rowsPerPartition,
        extending: paths.last.map { try Dataset(opening: $0) })
      for split in Split.allCases {
        let samples = samples(counts[split] ?? 0, part: number, split: split)
        for start in stride(from: 0, to: samples.labels.count, by: batchSize) {
          let range = start..<min(start + batchSize, samples.labels.count)
          try writer.append(
            samples.batch(range, tables: tables.count, denseCount: 1, capacity: batchSize), to: split)
        }
      }
      _ = try writer.finish()
      paths.append(path)
    }
    return paths
  }

  @Test(arguments: [1 << 20, 50], [DatasetWriter.defaultSegmentBytes, 300])
  func everyBatchAndHintIsThere(rowsPerPartition: Int, segmentBytes: Int) throws {
    let parts: [[Split: Int]] = [
      [.train: 50, .holdout: 7], [.train: 3, .valid: 9], [.train: 41, .holdout: 12],
    ]
    let batchSize = 8
    try withTemporaryDirectory { directory in
      let paths = try Self.write(
        parts, batchSize: batchSize, in: directory, segmentBytes: segmentBytes,
        rowsPerPartition: rowsPerPartition)
      let dataset = try Dataset(opening: try #require(paths.last))
      let manifest = dataset.manifest
      #expect(manifest.parts.map(\.train) == [50, 3, 41] && manifest.ancestors.count == 2)
      #expect(
        try manifest.ancestors.map(\.batchingIdentity)
          == paths.dropLast().map { try Dataset(opening: $0).manifest.batchingIdentity })
      #expect(manifest.batches(of: .train, parts: 2) == 8 && manifest.train.batches == 14)
      for split in Split.allCases {
        var used: [Set<RowKey>] = []
        var own: [[Float]] = []
        for (part, counts) in parts.enumerated() {
          let samples = Self.samples(counts[split] ?? 0, part: part, split: split)
          for start in stride(from: 0, to: samples.labels.count, by: batchSize) {
            let range = start..<min(start + batchSize, samples.labels.count)
            used.append(
              Set(samples.rows[range].flatMap { $0.enumerated().map { RowKey(table: $0, row: $1) } }))
            own.append(samples.dense[range].map { $0[0] })
          }
        }
        let reader = try dataset.reader(split)
        #expect(reader.batchCount == used.count)
        let batch = Batch(layout: reader.layout)
        let spans = manifest.spans(of: split)
        var sample = 0
        // What was there before keeps the hints of the dataset that it was made for.
        let earlier = manifest.batches(of: split, parts: 2)
        for index in used.indices {
          try reader.read(index, into: batch)
          #expect(Set(batch.keys.prefix(batch.uniqueCount)) == used[index])
          #expect(Array(batch.dense.prefix(batch.sampleCount)) == own[index])
          #expect(spans.samples(of: index) == sample..<sample + batch.sampleCount)
          for number in sample..<sample + batch.sampleCount { #expect(spans.batch(holding: number) == index) }
          sample += batch.sampleCount
          for position in 0..<batch.uniqueCount {
            let key = batch.keys[position]
            #expect((batch.firstTouch[position] == 1) == !used[..<index].contains { $0.contains(key) })
            guard index >= earlier else { continue }
            let distance = (1...used.count).first { used[(index + $0) % used.count].contains(key) }
            #expect(NextUse.distance(batch.nextUse[position]) == distance)
          }
        }
        let before = try Dataset(opening: paths[1]).manifest.split(split).largestUnions
        #expect(manifest.split(split).largestUnions == Self.unions(used, atLeast: before))
        #expect(sample == manifest.split(split).samples)
      }
      // The old files are the new ones.
      for name in try FileManager.default.contentsOfDirectory(atPath: paths[0])
      where name.hasSuffix(".batches") {
        let numbers = try [paths[0], paths[2]].map {
          try FileManager.default.attributesOfItem(atPath: "\($0)/\(name)")[.systemFileNumber] as? Int
        }
        #expect(numbers[0] == numbers[1])
      }
    }
  }

  private static func unions(_ used: [Set<RowKey>], atLeast before: [Int]) -> [Int] {
    var unions: [Int] = []
    var length = 1
    while length <= used.count {
      let own = used.indices.map { start in
        Set((start..<start + length).flatMap { used[$0 % used.count] }).count
      }
      let least = unions.count < before.count ? before[unions.count] : 0
      unions.append(max(least, own.max() ?? 0))
      length *= 2
    }
    return unions
  }

  /// Of a long split only both ends are read again. No row is then flagged that a batch in between may have used.
  @Test func whatNobodyReadAgainIsNotPromised() throws {
    let batches = 2 * WindowUnions.longest + 500
    let table = [TableLayout(name: "a", rows: 12)]
    // Row 2 is used in the middle alone, row 3 never before, row 11 is new.
    func write(_ path: String, _ rows: [UInt32], _ tables: [TableLayout], _ base: Dataset?) throws -> Dataset
    {
      let writer = try DatasetWriter(
        to: PendingOutput(path), content: DatasetContent(tables: tables, denseCount: 0), batchSize: 1,
        extending: base)
      let sample = SampleBatch(tableCount: 1, denseCount: 0, capacity: 1)
      sample.sampleCount = 1
      for row in rows {
        sample.rows[0] = row
        try writer.append(sample, to: .train)
      }
      _ = try writer.finish()
      return try Dataset(opening: path)
    }
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let old = (0..<batches).map { $0 == batches / 2 ? 2 : UInt32(4 + $0 % 4) }
      let base = try write(path("old"), old, [TableLayout(name: "a", rows: 11)], nil)
      let dataset = try write(path("new"), [2, 3, 4, 11], table, base)
      let reader = try dataset.reader(.train)
      let batch = Batch(layout: reader.layout)
      var flags: [UInt8] = []
      var distances: [Int] = []
      for index in batches..<batches + 4 {
        try reader.read(index, into: batch)
        flags.append(batch.firstTouch[0])
        distances.append(NextUse.distance(batch.nextUse[0]))
      }
      #expect(flags == [0, 0, 0, 1])
      let epoch = batches + 4
      #expect(distances == [epoch, epoch, 2, epoch])
      #expect(dataset.manifest.train.largestUnions == [1, 2, 4] + (3...12).map { _ in 7 })
    }
  }

  @Test func onlyWhatFitsExtends() throws {
    try withTemporaryDirectory { directory in
      let paths = try Self.write(
        [[.train: 9]], batchSize: 8, in: directory, segmentBytes: 1 << 20, rowsPerPartition: 1 << 20)
      let base = try Dataset(opening: paths[0])
      func refused(_ content: DatasetContent, batchSize: Int = 8, _ base: Dataset) -> String? {
        #expect(throws: ChanterError.self) {
          _ = try DatasetWriter(
            to: PendingOutput(directory.appendingPathComponent("x").path), content: content,
            batchSize: batchSize, extending: base)
        }?.message
      }
      #expect(refused(DatasetContent(tables: Self.tables, denseCount: 2), base)?.contains("columns") == true)
      #expect(
        refused(DatasetContent(tables: Self.tables, denseCount: 1), batchSize: 4, base)?.contains(
          "batches of 8")
          == true)
      var fewer = Self.tables
      fewer[1] = TableLayout(name: "b", rows: 299)
      #expect(refused(DatasetContent(tables: fewer, denseCount: 1), base)?.contains("more rows") == true)
      var half = DatasetContent(tables: Self.tables, denseCount: 1)
      half.densePrecision = .fp16
      #expect(refused(half, base)?.contains("fp32") == true)
      try FileManager.default.createDirectory(
        atPath: "\(directory.path)/tiny", withIntermediateDirectories: true)
      let tiny = try Self.write(
        [[.train: 7]], batchSize: 8, in: directory.appendingPathComponent("tiny"), segmentBytes: 1 << 20,
        rowsPerPartition: 1 << 20)
      #expect(
        refused(DatasetContent(tables: Self.tables, denseCount: 1), try Dataset(opening: tiny[0]))?
          .contains("no full batch") == true)
    }
  }
}
