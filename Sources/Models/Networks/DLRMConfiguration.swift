public import Primitives

/// The shapes of a DLRM (Naumov et al. 2019, arXiv 1906.00091): bottom MLP over the dense features, dot interaction with
/// the embeddings, top MLP to one logit.
public struct DLRMConfiguration: Codable, Equatable, Sendable {
  /// Dense features of a sample.
  public var denseCount: Int
  /// Embedding tables, each with one row per sample.
  public var tableCount: Int
  /// Floats of an embedding.
  public var dimension: Int
  /// Outputs of the bottom MLP's layers; the last must equal `dimension`. ReLU follows each. "512-256-64-16".
  public var bottom: [Int]
  /// Outputs of the top MLP's layers; the last must be 1, the logit. ReLU follows each but the last. "512-256-1".
  public var top: [Int]

  public init(denseCount: Int, tableCount: Int, dimension: Int, bottom: [Int], top: [Int]) {
    self.denseCount = denseCount
    self.tableCount = tableCount
    self.dimension = dimension
    self.bottom = bottom
    self.top = top
  }

  private static let largestLayer = 65_536
  private static let mostLayers = 64
  private static let mostTables = 4_096
  private static let largestDimension = 4_096

  /// Throws `badInput` with the name of the first key whose value a model cannot have.
  public func validate() throws(ChanterError) {
    try Self.check("denseCount", denseCount, 1...Self.largestLayer)
    try Self.check("tableCount", tableCount, 1...Self.mostTables)
    try Self.check("dimension", dimension, 1...Self.largestDimension)
    try Self.check("bottom", bottom, lastLayer: dimension, "the dimension \(dimension)")
    try Self.check("top", top, lastLayer: 1, "1, the logit")
  }

  private static func check(_ key: String, _ value: Int, _ allowed: ClosedRange<Int>) throws(ChanterError) {
    guard allowed.contains(value) else {
      throw ChanterError(
        .badInput,
        "\(key) is \(value); give a whole number from \(allowed.lowerBound) to \(allowed.upperBound)")
    }
  }

  private static func check(
    _ key: String, _ sizes: [Int], lastLayer: Int, _ meaning: String
  ) throws(ChanterError) {
    guard (1...mostLayers).contains(sizes.count), sizes.allSatisfy({ (1...largestLayer).contains($0) }) else {
      throw ChanterError(
        .badInput, "\(key) must list 1 to \(mostLayers) layer sizes, each from 1 to \(largestLayer)")
    }
    guard sizes[sizes.count - 1] == lastLayer else {
      throw ChanterError(
        .badInput, "the last layer of \(key) is \(sizes[sizes.count - 1]); it must be \(meaning)")
    }
  }
}
