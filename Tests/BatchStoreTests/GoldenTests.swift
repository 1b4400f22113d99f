import Foundation
import Primitives
import TestSupport
import Testing

@testable import BatchStore

/// A dataset small enough to check by hand against Format.md, and the same dataset as an earlier build wrote it, in
/// Golden. If these tests fail, the format changed: datasets that users have cannot be read any more, and the version
/// must go up. (The compressed bytes themselves may differ between versions of liblz4.)
@Suite struct GoldenTests {
  static let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Golden").path

  static let tables = [TableLayout(name: "C1", rows: 4), TableLayout(name: "C2", rows: 302)]
  /// Two single-valued features, and a bag that shares the second table.
  static let features = [
    FeatureLayout(name: "first", table: 0), FeatureLayout(name: "second", table: 1),
    FeatureLayout(name: "several", table: 1, isBag: true),
  ]

  /// The first training batch, byte by byte.
  static let raw: [UInt8] = [
    2, 0, 0, 0,  // C1: 2 rows
    3, 0, 0, 0,  // C2: 3 rows
    3, 0, 0, 0,  // several: 3 entries
    2, 1, 0, 0,  // fp16, weights
    0b101,  // labels
    2, 0, 0, 0,  // two different weights
    6, 0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x80, 0x00,  // 32 bits each: 1, and as far from it 2
    1, 0b010,  // one bit each: weights 1, 2, 1
    0, 0, 0, 0, 0x66, 0xCD, 0x9A, 0x2E, 0x3E, 0xC0,  // dense, not listed, two planes: 0.1, 1.7, -2.3
    2, 0b1000,  // C1, two bits each: rows 0 and 2
    // C2, four bits each, and five more of the third: rows 7, 8 and 300 = 8 + 4 + 16 * 18
    3 | 5 << 3, 0x17, 0x04, 0b100, 18,
    1, 0b101,  // first
    2, 0b00_00_10,  // second
    2, 0b01_00_10,  // lengths of several
    2, 0b10_00_01,  // several: rows 8 and 7; nothing; row 300
    0b11111, 2, 0b01_10_01_10, 0b10,  // all first touches, next uses 2, 1, 2, 1, 2
  ]

  func write(to path: String) throws -> Manifest {
    let output = try PendingOutput(path)
    let tables = Self.tables
    let vocabulary = try VocabularyWriter(output.file(VocabularyFile.fileName), tableCount: 2)
    for table in tables {
      try vocabulary.beginTable(table)
      for row in 2..<table.rows {
        try Array("\(table.name) \(row)".utf8).withUnsafeBytes { try vocabulary.append($0) }
      }
    }
    let identity = try vocabulary.finish()
    var content = DatasetContent(tables: tables, features: Self.features, denseCount: 1)
    content.densePrecision = .fp16
    content.hasWeights = true
    content.schema = "golden"
    let writer = try DatasetWriter(to: output, content: content, batchSize: 3)
    let shape = SampleShape(tableCount: 2, features: Self.features, denseCount: 1, hasWeights: true)
    func append(
      _ rows: [[UInt32]], _ bags: [[UInt32]], _ dense: [Float], _ labels: [Float], _ weights: [Float],
      _ split: Split
    ) throws {
      let samples = SampleBatch(shape: shape, capacity: 3)
      samples.sampleCount = labels.count
      for (position, row) in rows.enumerated() {
        samples.rows[position] = row[0]
        samples.rows[3 + position] = row[1]
        samples.bags[0].set(position, bags[position])
        samples.dense[position] = dense[position]
        samples.labels[position] = labels[position]
        samples.weights[position] = weights[position]
      }
      try writer.append(samples, to: split)
    }
    try append(
      [[2, 300], [0, 7], [2, 7]], [[8, 7], [], [300]], [0.1, 1.7, -2.3], [1, 0, 1], [1, 2, 1], .train)
    try append([[2, 8]], [[]], [0.5], [0], [0.5], .train)
    try append([[1, 1]], [[1]], [2], [0], [1], .valid)
    try append([[3, 1]], [[8, 8, 9]], [3], [1], [1], .holdout)
    return try writer.finish(vocabularyIdentity: identity)
  }

  @Test func theRawBatchIsWhatTheFormatSays() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("golden").path
      _ = try write(to: path)
      let train = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/train-00000.batches")))
      #expect(train[0..<8].elementsEqual("CHBATCH1".utf8))
      #expect(train[48..<52].elementsEqual("CHBF".utf8))
      // 48 bytes of header; in the frame header, the bytes of the raw batch and of its packed form lie from byte 16 on.
      #expect(train[64..<72].elementsEqual([UInt8(Self.raw.count), 0, 0, 0] + train[68..<72]))
      let packed = Array(train[80..<80 + Int(train[68])])
      var raw = [UInt8](repeating: 0, count: Self.raw.count)
      let problem = packed.withUnsafeBytes { source in
        raw.withUnsafeMutableBytes { LZ4Block.decode(source, into: $0) }
      }
      #expect(problem == nil && raw == Self.raw)
    }
  }

  @Test func aDatasetOfAnEarlierBuildReadsTheSame() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("golden").path
      let manifest = try write(to: path)
      let old = try Dataset(opening: Self.fixture)
      #expect(old.manifest.vocabularyIdentity == manifest.vocabularyIdentity)
      #expect(old.manifest.batchingIdentity == manifest.batchingIdentity)
      let vocabulary = try old.vocabulary()
      #expect(Array("C2 301".utf8).withUnsafeBytes { vocabulary.lookup(table: 1, $0) } == 301)
      let new = try Dataset(opening: path)
      for split in Split.allCases {
        #expect(old.layout(of: split) == new.layout(of: split))
        let batches = (Batch(layout: old.layout(of: split)), Batch(layout: new.layout(of: split)))
        for index in 0..<old.manifest.split(split).batches {
          try old.reader(split).read(index, into: batches.0)
          try new.reader(split).read(index, into: batches.1)
          #expect(contents(of: batches.0) == contents(of: batches.1))
        }
      }
    }
  }
}
