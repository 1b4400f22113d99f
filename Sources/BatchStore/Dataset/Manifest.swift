import Foundation
public import Primitives

/// What a dataset is: `manifest.json`, written last, so that a directory with a valid one is complete.
///
/// The numbers here bound everything that a reader allocates.
public struct Manifest: Codable, Equatable, Sendable {
  static let format = "chanter dataset"
  static let currentVersion = 4
  static let fileName = "manifest.json"
  /// All frames of a split; the sum of two such numbers overflows nothing.
  static let mostBytes = 1 << 60
  /// Limits that keep a damaged manifest from asking for absurd memory.
  static let maximumTables = 4096
  static let maximumFeatures = 4096
  /// Entries of a batch, all features together.
  public static let maximumEntries = 1 << 26
  static let maximumDense = 4096
  public static let maximumBatchSize = 65_536
  private static let maximumBytes = 64 << 20

  private(set) var format = Self.format
  private(set) var version = Self.currentVersion
  /// In the order of the batches' tables; `rows` counts the two reserved rows.
  public internal(set) var tables: [TableLayout]
  /// In the order of the batches' features.
  public internal(set) var features: [FeatureLayout]
  public internal(set) var denseCount: Int
  public internal(set) var densePrecision: DensePrecision
  public internal(set) var hasWeights: Bool
  /// Whether samples have times, in the units of the schema's time column.
  public internal(set) var hasTimes: Bool
  /// How raw input becomes samples, as its reader wrote it; nil for a dataset that was written from row numbers.
  public internal(set) var schema: String?
  /// Samples of every batch but the last of each part of a split.
  public internal(set) var batchSize: Int
  /// Identity of the value-to-row numbering. A model can be evaluated on datasets that share it.
  public internal(set) var vocabularyIdentity: String
  /// Identities of the vocabularies that the one of the first part extends, each the parent of the next: what `rebatch` keeps
  /// of the parts that it makes one of.
  public internal(set) var earlierVocabularies: [String]
  /// Identity of order, batch size, splits and content (next uses are hints and do not count). A training run can
  /// resume only on the batching that it started on.
  public internal(set) var batchingIdentity: String
  /// Whether the dataset holds the raw values; one that was written straight from rows does not.
  public internal(set) var hasVocabulary: Bool
  public internal(set) var train: SplitManifest
  public internal(set) var valid: SplitManifest
  public internal(set) var holdout: SplitManifest
  /// In order; a dataset to which nothing was appended has one.
  public internal(set) var parts: [PartManifest]
  /// Fingerprint of this manifest with an empty checksum.
  private(set) var checksum = ""

  init(
    content: DatasetContent, batchSize: Int, vocabularyIdentity: String, earlierVocabularies: [String],
    batchingIdentity: String, hasVocabulary: Bool, train: SplitManifest, valid: SplitManifest,
    holdout: SplitManifest, ancestors: [PartManifest]
  ) {
    tables = content.tables
    features = content.features
    denseCount = content.denseCount
    densePrecision = content.densePrecision
    hasWeights = content.hasWeights
    hasTimes = content.hasTimes
    schema = content.schema
    self.batchSize = batchSize
    self.vocabularyIdentity = vocabularyIdentity
    self.earlierVocabularies = earlierVocabularies
    self.batchingIdentity = batchingIdentity
    self.hasVocabulary = hasVocabulary
    self.train = train
    self.valid = valid
    self.holdout = holdout
    func added(_ split: SplitManifest, _ samples: (PartManifest) -> Int) -> Int {
      split.samples - ancestors.reduce(0) { $0 + samples($1) }
    }
    parts =
      ancestors + [
        PartManifest(
          vocabularyIdentity: vocabularyIdentity, batchingIdentity: batchingIdentity,
          rows: content.tables.map(\.rows), train: added(train, \.train), valid: added(valid, \.valid),
          holdout: added(holdout, \.holdout))
      ]
  }

  public func split(_ split: Split) -> SplitManifest {
    switch split {
    case .train: train
    case .valid: valid
    case .holdout: holdout
    }
  }

  /// All samples of all splits.
  public var samples: Int { train.samples + valid.samples + holdout.samples }

  /// What every sample consists of.
  public var shape: SampleShape {
    SampleShape(
      tableCount: tables.count, features: features, denseCount: denseCount, hasWeights: hasWeights,
      hasTimes: hasTimes)
  }

  /// What the dataset was begun with.
  public var content: DatasetContent {
    var content = DatasetContent(tables: tables, features: features, denseCount: denseCount)
    content.densePrecision = densePrecision
    content.hasWeights = hasWeights
    content.hasTimes = hasTimes
    content.schema = schema
    return content
  }

  private func encoded() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }

  private func computedChecksum() throws -> String {
    var blank = self
    blank.checksum = ""
    var fingerprint = Fingerprint()
    try blank.encoded().withUnsafeBytes { fingerprint.update($0) }
    return fingerprint.hex
  }

  /// Writes the manifest with its checksum and returns it in that form.
  func write(to path: String) throws -> Manifest {
    var sealed = self
    sealed.checksum = try computedChecksum()
    let file = try File(creating: path)
    try sealed.encoded().withUnsafeBytes { try file.write($0) }
    try file.synchronize()
    return sealed
  }

  static func read(from path: String) throws -> Manifest {
    let file = try File(reading: path)
    let size = try file.size()
    guard size <= maximumBytes else {
      throw ChanterError(.corrupt, "the manifest is too large to be one (\(size) bytes)", path: path)
    }
    var data = Data(count: size)
    try data.withUnsafeMutableBytes { bytes in
      if let base = bytes.baseAddress { try file.read(at: 0, into: base, count: size) }
    }
    struct Version: Decodable {
      let format: String
      let version: Int
    }
    let damaged = "the manifest is damaged; run preprocess again or restore the file"
    guard let version = try? JSONDecoder().decode(Version.self, from: data), version.format == format else {
      throw ChanterError(.corrupt, damaged, path: path)
    }
    guard version.version == currentVersion else {
      throw ChanterError(
        .unsupported,
        "the dataset has format version \(version.version), this program reads version \(currentVersion); run preprocess again",
        path: path)
    }
    guard let manifest = try? JSONDecoder().decode(Manifest.self, from: data),
      try manifest.computedChecksum() == manifest.checksum
    else { throw ChanterError(.corrupt, damaged, path: path) }
    try manifest.validate(path: path)
    return manifest
  }

  /// The checks behind every allocation: a manifest with a valid checksum can still come from a broken program.
  private func validate(path: String) throws {
    func require(_ condition: Bool, _ what: String) throws {
      if !condition { throw ChanterError(.corrupt, "the manifest has an impossible \(what)", path: path) }
    }
    try require(tables.count <= Self.maximumTables, "number of tables")
    try require((0...Self.maximumDense).contains(denseCount), "number of dense columns")
    try require((1...Self.maximumBatchSize).contains(batchSize), "batch size")
    try require(
      features.count <= Self.maximumFeatures && Set(features.map(\.table)) == Set(tables.indices),
      "list of features")
    if let fault = partsFault { try require(false, fault) }
    try require(ancestorsAreSound, "list of earlier vocabularies")
    let shape = shape
    for split in Split.allCases {
      let part = self.split(split)
      let spans = spans(of: split)
      try require(part.samples == spans.samples, "number of samples")
      try require(part.batches == spans.batches && spans.batches <= Int(UInt32.max), "number of batches")
      let singles = shape.singleCount * spans.largest
      try require(
        part.maximumEntries <= Self.maximumEntries
          && (part.maximumEntries == singles || part.maximumEntries > singles && shape.bagCount > 0),
        "number of entries")
      try require(
        (0...part.maximumEntries).contains(part.maximumUniqueRows), "number of unique rows")
      let bound = FrameShape.maximumRawBytes(
        shape, samples: batchSize, unique: part.maximumUniqueRows, entries: part.maximumEntries)
      try require((0...bound).contains(part.maximumRawBytes), "frame size")
      try require((0...LZ4Block.bound(bound)).contains(part.maximumCompressedBytes), "frame size")
      try require(
        part.rawBytes >= part.maximumRawBytes && part.rawBytes <= Self.mostBytes
          && part.compressedBytes >= part.maximumCompressedBytes && part.compressedBytes <= Self.mostBytes,
        "number of bytes")
      try require((0...1).contains(part.labelMean), "mean of the labels")
      // The planner's least capacity comes from these.
      let unions = part.largestUnions
      let windows =
        part.batches == 0 ? 0 : Int.bitWidth - min(part.batches, WindowUnions.longest).leadingZeroBitCount
      try require(
        unions.count == windows && unions.first ?? 0 == part.maximumUniqueRows
          && zip(unions, unions.dropFirst()).allSatisfy { $0 <= $1 }, "union of rows")
      var batches = 0
      for segment in part.segments {
        try require(segment.batches >= 1 && segment.batches <= part.batches, "segment")
        batches += segment.batches
      }
      try require(batches == part.batches, "list of segments")
    }
  }
}

/// One split in the manifest.
public struct SplitManifest: Codable, Equatable, Sendable {
  public internal(set) var samples = 0
  public internal(set) var batches = 0
  /// Mean of the labels, 0 for an empty split.
  public internal(set) var labelMean = 0.0
  /// Unique rows of the richest batch.
  public internal(set) var maximumUniqueRows = 0
  /// Entries of the richest batch, all features together.
  public internal(set) var maximumEntries = 0
  /// `largestUnions[k]`: the most unique rows of any 2^k consecutive batches, the first batch following the last,
  /// for every 2^k up to the smaller of `batches` and 4,096.
  public internal(set) var largestUnions: [Int] = []
  /// All frames before and after compression.
  public internal(set) var rawBytes = 0
  public internal(set) var compressedBytes = 0
  /// The largest frame before and after compression.
  public internal(set) var maximumRawBytes = 0
  public internal(set) var maximumCompressedBytes = 0
  public internal(set) var segments: [SegmentManifest] = []

  init() {}
}

/// One segment file in the manifest.
public struct SegmentManifest: Codable, Equatable, Sendable {
  public internal(set) var batches: Int
  /// Size of the file.
  public internal(set) var bytes: Int
  /// CRC32C of its index: ties the file to this dataset.
  public internal(set) var indexChecksum: UInt32
}
