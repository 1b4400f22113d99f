import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

/// A dataset small enough to check by hand against Format.md, and the same dataset as an earlier build wrote it, in
/// Golden. If these tests fail, the format changed: datasets that users have cannot be read any more, and the version
/// must go up. (The compressed bytes themselves may differ between versions of liblz4.)
@Suite struct GoldenTests {
  static let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Golden").path

  /// The first training batch, byte by byte.
  static let raw: [UInt8] = [
    2, 0, 0, 0, 1, 1, 0, 0,  // C1: 2 rows, deltas of one byte, inverse of one byte
    2, 0, 0, 0, 2, 1, 0, 0,  // C2: the second delta takes two bytes
    1, 0, 0, 0,  // fp32
    0b101,  // labels
    0xCD, 0x9A, 0x33, 0xCC, 0x99, 0x33, 0xCC, 0xD9, 0x13, 0x3D, 0x3F, 0xC0,  // dense, four planes
    0, 2, 1, 0, 1,  // C1: rows 0 and 2; positions
    7, 36, 0, 1, 1, 0, 0,  // C2: rows 7 and 299 = 7 + 36 + 256; positions
    1, 0b1111, 2, 1, 2, 2,  // next uses in one plane, all first touches
  ]

  func write(to path: String) throws -> Manifest {
    let output = try PendingOutput(path)
    let tables = [TableLayout(name: "C1", rows: 4), TableLayout(name: "C2", rows: 302)]
    let vocabulary = try VocabularyWriter(output.file(VocabularyFile.fileName), tableCount: 2)
    for table in tables {
      try vocabulary.beginTable(table)
      for row in 2..<table.rows {
        try Array("\(table.name) \(row)".utf8).withUnsafeBytes { try vocabulary.append($0) }
      }
    }
    let identity = try vocabulary.finish()
    let writer = try DatasetWriter(to: output, tables: tables, denseCount: 1, batchSize: 3)
    func append(_ rows: [[UInt32]], _ dense: [Float], _ labels: [Float], _ split: Split) throws {
      let samples = SampleBatch(tableCount: 2, denseCount: 1, capacity: 3)
      samples.sampleCount = labels.count
      for (position, row) in rows.enumerated() {
        samples.rows[position] = row[0]
        samples.rows[3 + position] = row[1]
        samples.dense[position] = dense[position]
        samples.labels[position] = labels[position]
      }
      try writer.append(samples, to: split)
    }
    try append([[2, 299], [0, 7], [2, 7]], [0.1, 1.7, -2.3], [1, 0, 1], .train)
    try append([[2, 8]], [0.5], [0], .train)
    try append([[3, 1]], [3], [1], .holdout)
    return try writer.finish(vocabularyIdentity: identity)
  }

  @Test func theRawBatchIsWhatTheFormatSays() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("golden").path
      _ = try write(to: path)
      let train = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/train-00000.batches")))
      #expect(train[0..<8].elementsEqual("CHBATCH1".utf8))
      #expect(train[48..<52].elementsEqual("CHBF".utf8))
      // Too small and varied to compress, so lz4 stores it: 48 bytes of header, 32 of frame header, 19 of lz4 headers.
      let raw = Self.raw
      #expect(Array(train[99..<99 + raw.count]) == raw)
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
