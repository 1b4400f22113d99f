public import Primitives

/// What a dataset holds, before there is a sample of it.
public struct DatasetContent: Codable, Sendable {
  /// Names and rows.
  public var tables: [TableLayout]
  public var features: [FeatureLayout]
  public var denseCount: Int
  public var densePrecision = DensePrecision.fp32
  /// Whether samples have weights.
  public var hasWeights = false
  /// Whether samples have times.
  public var hasTimes = false
  /// How raw input becomes samples, as its reader wrote it; kept so that more of it can be read later.
  public var schema: String?

  public init(tables: [TableLayout], features: [FeatureLayout], denseCount: Int) {
    self.tables = tables
    self.features = features
    self.denseCount = denseCount
  }

  /// One single-valued feature a table, of the same name.
  public init(tables: [TableLayout], denseCount: Int) {
    self.init(
      tables: tables, features: tables.enumerated().map { FeatureLayout(name: $1.name, table: $0) },
      denseCount: denseCount)
  }

  var shape: SampleShape {
    SampleShape(
      tableCount: tables.count, features: features, denseCount: denseCount, hasWeights: hasWeights,
      hasTimes: hasTimes)
  }

  func validate() throws {
    guard tables.count <= Manifest.maximumTables, features.count <= Manifest.maximumFeatures,
      (0...Manifest.maximumDense).contains(denseCount)
    else {
      throw ChanterError(
        .badInput,
        "at most \(Manifest.maximumTables) tables, \(Manifest.maximumFeatures) features and \(Manifest.maximumDense)"
          + " dense columns")
    }
    guard Set(features.map(\.table)) == Set(tables.indices) else {
      throw ChanterError(.broken, "there is a feature without a table, or a table without a feature")
    }
  }

  /// Throws unless samples of this content can follow those of `base`.
  func requireExtends(_ base: Dataset, batchSize: Int) throws {
    let old = base.manifest
    func require(_ condition: Bool, _ what: String) throws {
      if !condition {
        throw ChanterError(.mismatch, "the dataset to extend has \(what)", path: base.path)
      }
    }
    try require(old.batchSize == batchSize, "batches of \(old.batchSize), not \(batchSize)")
    try require(
      old.features == features && old.denseCount == denseCount && old.hasWeights == hasWeights
        && old.hasTimes == hasTimes,
      "other columns")
    try require(old.densePrecision == densePrecision, "dense columns in \(old.densePrecision.rawValue)")
    try require(
      old.tables.map(\.name) == tables.map(\.name)
        && zip(old.tables, tables).allSatisfy { $0.rows <= $1.rows }, "tables with other names or more rows")
    try base.requireExtensible()
  }
}

extension Dataset {
  /// Throws if no samples can follow this dataset's, whatever they are.
  public func requireExtensible() throws {
    guard manifest.parts.count < Manifest.maximumParts else {
      throw ChanterError(
        .mismatch, "the dataset to extend has as many parts as a dataset can have; rebatch makes one of them",
        path: path)
    }
    guard manifest.vocabularyAncestors.count + 1 < Manifest.maximumAncestors else {
      throw ChanterError(
        .mismatch,
        "the vocabulary of the dataset to extend is the last of as many as can extend one another; rebatch with --renumber"
          + " begins anew", path: path)
    }
    // How a batch is cut into chunks follows from the largest one, which a model keeps.
    guard manifest.spans(of: .train).largest == manifest.batchSize else {
      throw ChanterError(
        .mismatch,
        "the dataset to extend has no full batch for training (\(manifest.train.samples) samples, batches of"
          + " \(manifest.batchSize)); preprocess both logs together", path: path)
    }
  }
}
