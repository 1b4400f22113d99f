public import Primitives

/// What a dataset holds, before there is a sample of it.
public struct DatasetContent: Sendable {
  /// Names and rows.
  public var tables: [TableLayout]
  public var features: [FeatureLayout]
  public var denseCount: Int
  public var densePrecision = DensePrecision.fp32
  /// Whether samples have weights.
  public var hasWeights = false
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
      tableCount: tables.count, features: features, denseCount: denseCount, hasWeights: hasWeights)
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
}
