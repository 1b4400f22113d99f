/// One categorical feature of a dataset: which table its rows lie in, and whether a sample has one value or several.
public struct FeatureLayout: Codable, Equatable, Sendable {
  public let name: String
  /// Number of its table; several features may share one.
  public let table: Int
  /// A bag has 0 or more entries a sample; any other feature has exactly one.
  public let isBag: Bool

  public init(name: String, table: Int, isBag: Bool = false) {
    self.name = name
    self.table = table
    self.isBag = isBag
  }
}

/// How dense columns are stored. In memory they are fp32 always.
///
/// The raw values reach the disk: do not rename.
public enum DensePrecision: String, CaseIterable, Codable, Sendable {
  case fp32
  /// IEEE half precision, rounded to nearest even: 11 bits, up to 65,504.
  case fp16

  var bytes: Int { self == .fp32 ? 4 : 2 }
  /// The largest number that it holds.
  public var largest: Float { self == .fp32 ? .greatestFiniteMagnitude : 65_504 }
  /// In frames. Do not renumber.
  var code: UInt8 { self == .fp32 ? 1 : 2 }
}

/// What every sample of a dataset consists of.
public struct SampleShape: Equatable, Sendable {
  /// A categorical feature without its name.
  public struct Feature: Equatable, Sendable {
    public let table: Int
    public let isBag: Bool
  }

  public let tableCount: Int
  public let features: [Feature]
  public let denseCount: Int
  /// Whether samples have weights; where they have none, each counts 1.
  public let hasWeights: Bool
  /// Whether samples have times; nothing is learned from them.
  public let hasTimes: Bool
  /// Features with several entries a sample.
  public let bagCount: Int

  /// - Parameter features: each names a table below `tableCount`.
  public init(
    tableCount: Int, features: [FeatureLayout], denseCount: Int, hasWeights: Bool = false,
    hasTimes: Bool = false
  ) {
    precondition(tableCount >= 0 && denseCount >= 0)
    precondition(features.allSatisfy { (0..<tableCount).contains($0.table) })
    self.tableCount = tableCount
    self.features = features.map { Feature(table: $0.table, isBag: $0.isBag) }
    self.denseCount = denseCount
    self.hasWeights = hasWeights
    self.hasTimes = hasTimes
    bagCount = features.count { $0.isBag }
  }

  /// One single-valued feature a table.
  public init(tableCount: Int, denseCount: Int) {
    self.init(
      tableCount: tableCount, features: (0..<tableCount).map { FeatureLayout(name: "", table: $0) },
      denseCount: denseCount)
  }

  public var featureCount: Int { features.count }
  /// Features with one entry a sample.
  public var singleCount: Int { features.count - bagCount }
}
