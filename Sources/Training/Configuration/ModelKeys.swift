import Models
import Primitives

/// Applies the keys that define a model.
///
/// Which keys there are depends on the model and on the optimizers. A key of another model is an error, unless the command
/// line changed the model or the optimizer that the file chose: then the file's keys for what it chose do not count.
struct ModelKeys {
  private let kind: ModelKind
  private let rows: RowOptimizer.Rule
  private let dense: DenseOptimizer.Rule
  /// Choices that the command line made: `model`, `rows.optimizer`, `dense.optimizer`.
  private let overridden: Set<String>
  private let listsBottom: Bool

  init(_ settings: [Setting], defaults: ModelConfiguration) throws {
    func setting(_ key: String) -> Setting? { settings.last { $0.key == key } }
    kind = try setting("model")?.choice(ModelKind.self) ?? defaults.network.kind
    rows = try setting("rows.optimizer")?.choice(RowOptimizer.Rule.self) ?? defaults.rows.rule
    dense = try setting("dense.optimizer")?.choice(DenseOptimizer.Rule.self) ?? defaults.dense.rule
    listsBottom = setting("bottom") != nil
    overridden = Set(settings.filter { $0.origin.path == nil }.map(\.key))
  }

  /// What the model begins with, before any key is applied.
  func begin(_ model: inout ModelConfiguration) {
    model.network.kind = kind
    model.rows.rule = rows
    model.dense.rule = dense
    // A step of Adam has the size of the learning rate, and its authors recommend 0.001.
    if [.adam, .adamw].contains(rows) { model.rows.learningRate = 0.001 }
    if [.adam, .adamw].contains(dense) { model.dense.learningRate = 0.001 }
  }

  /// What follows from other keys, once all are applied: the bottom layers take part in the dot products with as many numbers
  /// as a vector has, unless somebody says otherwise.
  func finish(_ model: inout ModelConfiguration) {
    if listsBottom || !kind.keys.contains(.bottom) { return }
    model.network.bottom[model.network.bottom.count - 1] = model.dimension
  }

  /// All keys that count for the model.
  var names: [String] {
    let own = NetworkConfiguration.Key.allCases.filter(kind.keys.contains).map(\.rawValue)
    return ["model"] + own + (kind.keys.contains(.dimension) ? ["dimensions.TABLE"] : []) + ["pooling"]
      + OptimizerKey.of(rows).map { "rows.\($0.rawValue)" }
      + OptimizerKey.of(dense).map { "dense.\($0.rawValue)" } + ["initial_scale", "clip_norm", "seed"]
  }

  /// Applies `setting`; false if it is not a model's key at all.
  func apply(_ setting: Setting, to model: inout ModelConfiguration) throws -> Bool {
    let parts = setting.key.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(
      String.init)
    switch (parts[0], parts.count) {
    case ("model", 1): break
    case ("pooling", 1): model.pooling = try setting.choice(Pooling.self)
    case ("initial_scale", 1): model.initialScale = try setting.notNegative()
    case ("clip_norm", 1): model.clipNorm = try setting.notNegative()
    case ("seed", 1): model.seed = UInt64(try setting.integer(0...Int.max))
    case ("rows", 2):
      guard let key = try optimizerKey(setting, parts[1], OptimizerKey.of(rows), rows.rawValue) else { break }
      try apply(setting, key, to: &model.rows)
    case ("dense", 2):
      guard let key = try optimizerKey(setting, parts[1], OptimizerKey.of(dense), dense.rawValue) else {
        break
      }
      try apply(setting, key, to: &model.dense)
    case ("dimensions", 2):
      guard try belongs(setting, kind.keys.contains(.dimension)) else { break }
      let dimension = try setting.integer(InputShape.tableDimensions)
      model.dimensions.append(.init(table: parts[1], dimension: dimension))
    case (let name, 1):
      guard let key = NetworkConfiguration.Key(rawValue: name) else { return false }
      guard try belongs(setting, kind.keys.contains(key)) else { break }
      try apply(setting, key, to: &model)
    default: return false
    }
    return true
  }

  private func belongs(_ setting: Setting, _ isKnown: Bool) throws -> Bool {
    if isKnown { return true }
    if setting.origin.path != nil, overridden.contains("model") { return false }
    throw setting.error(
      "model `\(kind.rawValue)` has no such key; its keys are \(names.joined(separator: ", "))")
  }

  private func optimizerKey(
    _ setting: Setting, _ name: String, _ allowed: [OptimizerKey], _ rule: String
  ) throws -> OptimizerKey? {
    let key = OptimizerKey(rawValue: name)
    if let key, allowed.contains(key) { return key }
    let group = setting.key.prefix { $0 != "." }
    if key != nil, setting.origin.path != nil, overridden.contains("\(group).optimizer") { return nil }
    throw setting.error(
      "unknown key for optimizer `\(rule)`; its keys are "
        + allowed.map { "\(group).\($0.rawValue)" }.joined(separator: ", "))
  }

  private func apply(
    _ setting: Setting, _ key: NetworkConfiguration.Key, to model: inout ModelConfiguration
  ) throws {
    let (sizes, counts) = (NetworkConfiguration.layerSizes, NetworkConfiguration.layerCounts)
    switch key {
    case .dimension: model.dimension = try setting.integer(InputShape.tableDimensions)
    case .bottom: model.network.bottom = try setting.sizes(sizes, most: counts.upperBound)
    case .top: model.network.top = try setting.sizes(sizes, most: counts.upperBound)
    case .interaction: model.network.interaction = try setting.choice(NetworkConfiguration.Interaction.self)
    case .hidden: model.network.hidden = try setting.sizes(sizes, most: counts.upperBound)
    case .activation: model.network.activation = try setting.choice(Activation.self)
    case .dropout: model.network.dropout = try setting.share()
    case .batchNorm: model.network.batchNorm = try setting.bool()
    case .layerNorm: model.network.layerNorm = try setting.bool()
    case .crossLayers: model.network.crossLayers = try setting.integer(counts)
    case .crossRank: model.network.crossRank = try setting.integer(0...sizes.upperBound)
    case .structure: model.network.structure = try setting.choice(NetworkConfiguration.Structure.self)
    }
  }

  private func apply(_ setting: Setting, _ key: OptimizerKey, to optimizer: inout RowOptimizer) throws {
    switch key {
    case .optimizer, .momentum: break
    case .learningRate: optimizer.learningRate = try setting.positive()
    case .epsilon: optimizer.epsilon = try setting.positive()
    case .beta1: optimizer.beta1 = try setting.share()
    case .beta2: optimizer.beta2 = try setting.share()
    case .weightDecay: optimizer.weightDecay = try setting.notNegative()
    case .l2: optimizer.l2 = try setting.notNegative()
    }
  }

  private func apply(_ setting: Setting, _ key: OptimizerKey, to optimizer: inout DenseOptimizer) throws {
    switch key {
    case .optimizer: break
    case .learningRate: optimizer.learningRate = try setting.positive()
    case .momentum: optimizer.momentum = try setting.share()
    case .epsilon: optimizer.epsilon = try setting.positive()
    case .beta1: optimizer.beta1 = try setting.share()
    case .beta2: optimizer.beta2 = try setting.share()
    case .weightDecay: optimizer.weightDecay = try setting.notNegative()
    case .l2: optimizer.l2 = try setting.notNegative()
    }
  }
}
