import BatchStore
public import Models
import Primitives

/// What defines a model: two runs whose `ModelConfiguration`, dataset and number of batches agree end with the same bytes.
public struct ModelConfiguration: Codable, Equatable, Sendable {
  /// The kind of model and the shape of its network.
  public var network = NetworkConfiguration()
  /// Floats of an embedding vector.
  public var dimension = 16
  /// Tables whose vectors have another size, in the order given.
  public var dimensions: [TableDimension] = []
  /// How the vectors of a bag become one.
  public var pooling = Pooling.mean
  public var rows = RowOptimizer(.rowwiseAdagrad, learningRate: 0.02)
  public var dense = DenseOptimizer(.adagrad, learningRate: 0.02)
  /// Vectors start uniformly between minus and plus this; 0 for sqrt(1 / rows of the table). First-order weights start at
  /// zero.
  public var initialScale: Float = 0
  /// The largest global norm of a batch's gradients, rows included; 0 for no clipping.
  public var clipNorm: Float = 0
  /// Seeds initial rows and dense parameters, and dropout.
  public var seed: UInt64 = 1

  public init() {}

  public struct TableDimension: Codable, Equatable, Sendable {
    public var table: String
    public var dimension: Int

    public init(table: String, dimension: Int) {
      self.table = table
      self.dimension = dimension
    }
  }

  /// The model for samples of this kind.
  ///
  /// - Throws: `badInput`, its message beginning with the key, if it does not fit them.
  func specification(denseCount: Int, tables: [String], features: [FeatureLayout]) throws
    -> ModelSpecification
  {
    var sizes = Array(repeating: dimension, count: tables.count)
    for entry in dimensions {
      guard let table = tables.firstIndex(of: entry.table) else {
        throw ChanterError(
          .badInput,
          "dimensions.\(entry.table): the dataset has no such table; its tables are \(tables.joined(separator: ", "))"
        )
      }
      sizes[table] = entry.dimension
    }
    var bags = 0
    let shapes = features.map { feature in
      defer { bags += feature.isBag ? 1 : 0 }
      return FeatureShape(table: feature.table, bag: feature.isBag ? bags : nil, pooling: pooling)
    }
    let specification = ModelSpecification(
      network: network, shape: InputShape(denseCount: denseCount, features: shapes, dimensions: sizes),
      rowOptimizer: rows, denseOptimizer: dense, clipNorm: clipNorm > 0 ? clipNorm : nil, seed: seed)
    try specification.validate()
    return specification
  }
}

extension ModelConfiguration {
  /// Every key that counts for this model with its value in force, nested keys dotted.
  var settings: [(key: String, value: String)] {
    func list(_ values: [Int]) -> String { "[" + values.map(String.init).joined(separator: ", ") + "]" }
    var result = [(key: "model", value: network.kind.rawValue)]
    for key in NetworkConfiguration.Key.allCases where network.kind.keys.contains(key) {
      let value =
        switch key {
        case .dimension: String(dimension)
        case .bottom: list(network.bottom)
        case .top: list(network.top)
        case .interaction: network.interaction.rawValue
        case .hidden: list(network.hidden)
        case .activation: network.activation.rawValue
        case .dropout: String(network.dropout)
        case .batchNorm: String(network.batchNorm)
        case .layerNorm: String(network.layerNorm)
        case .crossLayers: String(network.crossLayers)
        case .crossRank: String(network.crossRank)
        case .structure: network.structure.rawValue
        }
      result.append((key.rawValue, value))
      if key == .dimension {
        result += dimensions.map { ("dimensions.\($0.table)", String($0.dimension)) }
      }
    }
    result.append(("pooling", pooling.rawValue))
    for key in OptimizerKey.of(rows.rule) { result.append(("rows.\(key.rawValue)", key.value(rows))) }
    for key in OptimizerKey.of(dense.rule) { result.append(("dense.\(key.rawValue)", key.value(dense))) }
    result.append(("initial_scale", String(initialScale)))
    result.append(("clip_norm", String(clipNorm)))
    result.append(("seed", String(seed)))
    return result
  }

  /// The model's part of a configuration as YAML.
  public var text: String { yaml(settings) }

  /// Each setting in which `other` differs, in words.
  func differences(from other: ModelConfiguration) -> [String] {
    let theirs = other.settings
    var result: [String] = []
    for (key, value) in settings {
      let before = theirs.first { $0.key == key }?.value
      if before != value { result.append("\(key) is \(value) now and was \(before ?? "not set")") }
    }
    for (key, value) in theirs where !settings.contains(where: { $0.key == key }) {
      result.append("\(key) is not set now and was \(value)")
    }
    return result
  }
}

/// Lines of YAML; dotted keys become nested ones.
func yaml(_ settings: [(key: String, value: String)]) -> String {
  var lines: [String] = []
  var group: Substring?
  for (key, value) in settings {
    guard let dot = key.firstIndex(of: ".") else {
      lines.append("\(key): \(value)")
      group = nil
      continue
    }
    if group != key[..<dot] {
      group = key[..<dot]
      lines.append("\(key[..<dot]):")
    }
    lines.append("  \(key[key.index(after: dot)...]): \(value)")
  }
  return lines.joined(separator: "\n")
}

/// The keys of an optimizer, of which each rule has its own.
enum OptimizerKey: String, CaseIterable {
  case optimizer
  case learningRate = "learning_rate"
  case momentum
  case epsilon, beta1, beta2
  case weightDecay = "weight_decay"
  case l2

  static func of(_ rule: RowOptimizer.Rule) -> [OptimizerKey] {
    switch rule {
    case .sgd: [.optimizer, .learningRate, .l2]
    case .adagrad, .rowwiseAdagrad: [.optimizer, .learningRate, .epsilon, .l2]
    case .adam: [.optimizer, .learningRate, .epsilon, .beta1, .beta2, .l2]
    case .adamw: [.optimizer, .learningRate, .epsilon, .beta1, .beta2, .weightDecay, .l2]
    }
  }

  static func of(_ rule: DenseOptimizer.Rule) -> [OptimizerKey] {
    switch rule {
    case .sgd: [.optimizer, .learningRate, .momentum, .l2]
    case .adagrad: of(RowOptimizer.Rule.adagrad)
    case .adam: of(RowOptimizer.Rule.adam)
    case .adamw: of(RowOptimizer.Rule.adamw)
    }
  }

  func value(_ optimizer: RowOptimizer) -> String {
    switch self {
    case .optimizer: optimizer.rule.rawValue
    case .learningRate: String(optimizer.learningRate)
    case .momentum: ""
    case .epsilon: String(optimizer.epsilon)
    case .beta1: String(optimizer.beta1)
    case .beta2: String(optimizer.beta2)
    case .weightDecay: String(optimizer.weightDecay)
    case .l2: String(optimizer.l2)
    }
  }

  func value(_ optimizer: DenseOptimizer) -> String {
    switch self {
    case .optimizer: optimizer.rule.rawValue
    case .learningRate: String(optimizer.learningRate)
    case .momentum: String(optimizer.momentum)
    case .epsilon: String(optimizer.epsilon)
    case .beta1: String(optimizer.beta1)
    case .beta2: String(optimizer.beta2)
    case .weightDecay: String(optimizer.weightDecay)
    case .l2: String(optimizer.l2)
    }
  }
}
