import Primitives

/// Records the layers that a model composes, in the order in which they run.
///
/// `dense`, `vectors` and `firstOrder` are what a sample brings along, or nil where the dataset has no such features; the
/// rest are layers. Each gives a `Value` for others to use, as often as they like.
package final class NetworkBuilder {
  let shape: InputShape
  /// Stands for the bits that a model draws while it trains.
  let seed: UInt64
  private(set) var layers: [any Layer] = []
  private(set) var values: [Value] = []
  private(set) var parameterCount = 0
  private(set) var averageCount = 0
  private(set) var statisticCount = 0
  private(set) var scratchFloats = 0
  private var usesVectors = false
  private var usesFirstOrder = false

  init(shape: InputShape, seed: UInt64) {
    self.shape = shape
    self.seed = seed
  }

  /// Which part of a row is what, as far as the model asked for it.
  var rowShape: RowShape {
    RowShape(shape, hasVectors: usesVectors, hasFirstOrder: usesFirstOrder)
  }

  // For layers.

  func makeValue(width: Int, needsGradient: Bool) -> Value {
    let value = Value(index: values.count, width: width, needsGradient: needsGradient)
    values.append(value)
    return value
  }

  /// Gives out the next `count` parameters, which training changes.
  func takeParameters(_ count: Int) -> Int {
    defer { parameterCount += count }
    return parameterCount
  }

  /// Gives out the next `count` numbers that training keeps beside the parameters.
  func takeAverages(_ count: Int) -> Int {
    defer { averageCount += count }
    return averageCount
  }

  /// Gives out the next `count` numbers of a batch.
  func takeStatistics(_ count: Int) -> Int {
    defer { statisticCount += count }
    return statisticCount
  }

  func needScratch(_ floats: Int) { scratchFloats = max(scratchFloats, floats) }

  func add(_ layer: some Layer) -> Value {
    layers.append(layer)
    return layer.output
  }

  /// How many layers there are so far: a number for what a layer draws at random.
  var nextLayer: Int { layers.count }

  // What a sample brings along.

  /// The dense features, `[denseCount]`.
  package func dense() -> Value? {
    if shape.denseCount == 0 { return nil }
    return add(DenseFeatures(output: makeValue(width: shape.denseCount, needsGradient: false)))
  }

  /// The vectors of all categorical features side by side, those of a bag pooled to one.
  package func vectors() -> Value? {
    guard let vectors = featureVectors(padded: false) else { return nil }
    let width = shape.features.reduce(0) { $0 + shape.dimensions[$1.table] }
    return add(EmbeddingVectors(vectors, output: makeValue(width: width, needsGradient: true)))
  }

  /// The same for a layer that gathers them itself.
  func featureVectors(padded: Bool) -> FeatureVectors? {
    if shape.features.isEmpty { return nil }
    usesVectors = true
    return FeatureVectors(shape, padded: padded)
  }

  /// The sum of the first-order weights of all categorical features, `[1]`. They lie behind the vectors, in the same rows.
  package func firstOrder() -> Value? {
    if shape.features.isEmpty { return nil }
    usesFirstOrder = true
    return add(FirstOrderWeights(shape, output: makeValue(width: 1, needsGradient: true)))
  }
}

/// What the rows of a model consist of: a vector, then a first-order weight if the model has any, then optimizer state.
///
/// All rows have the size of the widest table's; a table with shorter vectors leaves the end of its weights unused.
struct RowShape: Equatable, Sendable {
  /// Per table: floats of the vector.
  let vectors: [Int]
  let hasFirstOrder: Bool
  /// Per feature: where its gradient starts among those of a sample.
  let gradientOffsets: [Int]
  /// Floats of a sample's gradients.
  let gradientStride: Int
  /// Floats of the widest row, state not counted.
  let dimension: Int

  init(_ shape: InputShape, hasVectors: Bool, hasFirstOrder: Bool) {
    let vectors = hasVectors ? shape.dimensions : shape.dimensions.map { _ in 0 }
    self.vectors = vectors
    self.hasFirstOrder = hasFirstOrder
    let extra = hasFirstOrder ? 1 : 0
    var offsets: [Int] = []
    var stride = 0
    for feature in shape.features {
      offsets.append(stride)
      stride += vectors[feature.table] + extra
    }
    gradientOffsets = offsets
    gradientStride = stride
    dimension = shape.features.reduce(0) { max($0, vectors[$1.table] + extra) }
  }

  /// Weights of a row of `table`.
  func width(_ table: Int) -> Int { vectors[table] + (hasFirstOrder ? 1 : 0) }
}
