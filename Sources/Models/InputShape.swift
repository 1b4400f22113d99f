import Primitives

/// How the rows that one sample uses of a bag become one vector. An empty bag gives zero either way.
public enum Pooling: String, Codable, CaseIterable, Sendable {
  case sum, mean
}

/// One categorical feature.
public struct FeatureShape: Codable, Equatable, Sendable {
  /// The table its values lie in; several features may share one.
  public var table: Int
  /// Its number among the features that are bags, or nil where each sample has one value.
  public var bag: Int?
  public var pooling: Pooling

  public init(table: Int, bag: Int? = nil, pooling: Pooling = .mean) {
    self.table = table
    self.bag = bag
    self.pooling = pooling
  }
}

/// What a sample consists of.
public struct InputShape: Equatable, Sendable {
  /// Dense features of a sample; may be 0.
  public var denseCount: Int
  /// Categorical features; may be none.
  public var features: [FeatureShape]
  /// Floats of the vectors of each table, first-order weights not counted.
  public var dimensions: [Int]

  public init(denseCount: Int, features: [FeatureShape], dimensions: [Int]) {
    self.denseCount = denseCount
    self.features = features
    self.dimensions = dimensions
  }

  /// One single-valued feature for each of `tableCount` tables with vectors of equal size.
  public init(denseCount: Int, tableCount: Int, dimension: Int) {
    self.init(
      denseCount: denseCount, features: (0..<tableCount).map { FeatureShape(table: $0) },
      dimensions: Array(repeating: dimension, count: tableCount))
  }
}

extension InputShape {
  public static let tableDimensions = 1...4_096
  private static let mostNumbers = 1 << 20

  /// Throws `badInput` with the name of the first key whose value no model can have.
  func validate() throws(ChanterError) {
    guard (0...Self.mostNumbers).contains(denseCount),
      features.count <= Self.mostNumbers, features.allSatisfy({ dimensions.indices.contains($0.table) })
    else {
      throw ChanterError(
        .badInput,
        "features: a sample needs 0 to \(Self.mostNumbers) dense features, and each categorical one a table that is there"
      )
    }
    for dimension in dimensions where !Self.tableDimensions.contains(dimension) {
      throw ChanterError(
        .badInput,
        "dimension: must be \(Self.tableDimensions.lowerBound) to \(Self.tableDimensions.upperBound), not \(dimension)"
      )
    }
    let numbers = features.reduce(denseCount) { $0 + dimensions[$1.table] + 1 }
    guard numbers <= Self.mostNumbers else {
      throw ChanterError(
        .unsupported,
        "dimension: a sample has \(numbers) numbers with these vectors, and at most \(Self.mostNumbers) are supported"
      )
    }
  }
}

/// The weights of a row, from its start on; where other tables have wider rows, what follows up to the optimizer state is zero.
public struct RowParts: Equatable, Sendable, CustomStringConvertible {
  /// Floats of the vector; 0 for a model without vectors.
  public let vector: Int
  /// Whether a first-order weight stands behind it.
  public let hasFirstOrderWeight: Bool

  public var weights: Int { vector + (hasFirstOrderWeight ? 1 : 0) }

  public var description: String {
    "\(weights) weights, \(hasFirstOrderWeight ? "the last one of first order" : "none of first order")"
  }
}

/// The most that a batch holds: what a model's buffers are made for.
public struct BatchLimits: Equatable, Sendable {
  /// Samples; the configured batch size.
  public var samples: Int
  /// Distinct rows over all tables.
  public var uniqueRows: Int
  /// Entries of all categorical features.
  public var entries: Int

  public init(samples: Int, uniqueRows: Int, entries: Int) {
    self.samples = samples
    self.uniqueRows = uniqueRows
    self.entries = entries
  }

  /// A model that only predicts takes no memory for training, and batches of any size.
  public static let none = BatchLimits(samples: 0, uniqueRows: 0, entries: 0)
}
