import Foundation
import Primitives
import TestSupport
import Testing

@testable import BatchStore

/// Manifests that say impossible things under a valid checksum, as a broken program would write them.
@Suite struct ManifestTests {
  private static let fields: [(name: String, change: @Sendable (inout Manifest, Int) -> Void)] = [
    ("denseCount", { $0.denseCount = $1 }), ("batchSize", { $0.batchSize = $1 }),
    ("samples", { $0.train.samples = $1 }), ("batches", { $0.train.batches = $1 }),
    ("maximumUniqueRows", { $0.train.maximumUniqueRows = $1 }),
    ("largestUnions", { $0.train.largestUnions = [$1] }),
    ("no unions", { manifest, _ in manifest.train.largestUnions = [] }),
    ("maximumRawBytes", { $0.train.maximumRawBytes = $1 }),
    ("maximumCompressedBytes", { $0.train.maximumCompressedBytes = $1 }),
    ("batches of a segment", { $0.train.segments[0].batches = $1 }),
    ("bytes of a segment", { $0.train.segments[0].bytes = $1 }),
    ("no segments", { manifest, _ in manifest.train.segments = [] }),
    (
      "segments of an empty split",
      { manifest, value in
        manifest.holdout.segments = manifest.train.segments
        manifest.holdout.samples = 0
        manifest.holdout.batches = 0
        manifest.holdout.segments[0].batches = value
      }
    ),
    ("maximumEntries", { $0.train.maximumEntries = $1 }),
    ("table of a feature", { $0.features[0] = FeatureLayout(name: "x", table: $1) }),
    ("no features", { manifest, _ in manifest.features = [] }),
    ("a bag", { manifest, _ in manifest.features[0] = FeatureLayout(name: "x", table: 0, isBag: true) }),
    ("precision", { manifest, _ in manifest.densePrecision = .fp16 }),
    ("weights", { manifest, _ in manifest.hasWeights = true }),
    ("samples of a part", { $0.parts[0].train = $1 }),
    ("samples of many parts", { $0.parts += Array(repeating: $0.parts[0], count: min(4000, max(0, $1))) }),
    ("rows of a part", { $0.parts[0].rows = [UInt32(truncatingIfNeeded: $1)] }),
    ("identity of a part", { manifest, value in manifest.parts[0].batchingIdentity = "\(value)" }),
    ("no parts", { manifest, _ in manifest.parts = [] }),
    ("earlier vocabularies", { $0.earlierVocabularies = Array(repeating: "\($1)", count: 2) }),
    (
      "a vocabulary that extends itself",
      { manifest, _ in manifest.earlierVocabularies = [manifest.vocabularyIdentity] }
    ),
    ("no tables", { manifest, _ in manifest.tables = [] }),
    ("tables without rows", { $0.tables = [TableLayout(name: "a", rows: UInt32(truncatingIfNeeded: $1))] }),
  ]

  @Test(arguments: fields.indices)
  func impossibleNumbersAreErrors(index: Int) throws {
    try withTemporaryDirectory { directory in
      let tests = DamageTests()
      let path = try tests.writeSmall(directory)
      let expected = try tests.readAll(path)
      let good = try Dataset(opening: path).manifest
      for value in [Int.min, -1, 0, 1, 3, 1 << 20, 1 << 40, Int.max / 8, Int.max] {
        var manifest = good
        Self.fields[index].change(&manifest, value)
        try FileManager.default.removeItem(atPath: "\(path)/\(Manifest.fileName)")
        _ = try manifest.write(to: "\(path)/\(Manifest.fileName)")
        tests.expectErrorOrSameData(path, expected, "\(Self.fields[index].name) = \(value)")
      }
    }
  }
}
