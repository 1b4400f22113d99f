package import Primitives

/// A model: which layers a logit is computed with. To add one, write a file like those beside this one and name it in
/// `ModelKind`.
package protocol Model {
  /// Keys of a configuration that it reads beside those of all models.
  static var keys: Set<NetworkConfiguration.Key> { get }
  /// Throws `badInput`, naming the key, if it cannot be made of such samples.
  static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration) throws(ChanterError)
    -> Value
}

/// The models by the names that a configuration knows. They are part of stored models: do not rename.
public enum ModelKind: String, Codable, CaseIterable, Sendable {
  case logisticRegression = "lr"
  case factorizationMachine = "fm"
  case mlp
  case dlrm
  case wideDeep = "wide_deep"
  case deepFM = "deepfm"
  case dcn
  case dcnV2 = "dcn_v2"

  package var model: any Model.Type {
    switch self {
    case .logisticRegression: LogisticRegression.self
    case .factorizationMachine: FactorizationMachineModel.self
    case .mlp: MLP.self
    case .dlrm: DLRM.self
    case .wideDeep: WideDeep.self
    case .deepFM: DeepFM.self
    case .dcn: DCN.self
    case .dcnV2: DCNV2.self
    }
  }

  /// Keys of a configuration that this model reads beside those of all models.
  public var keys: Set<NetworkConfiguration.Key> { model.keys }
}

extension NetworkBuilder {
  /// Linear layers with ReLU or another activation behind each, as `hidden`, `activation`, `batch_norm`, `layer_norm` and
  /// `dropout` of the configuration say, in the order linear, normalisation, activation, dropout. Batch normalisation takes a
  /// bias away again, so a linear layer before it has none.
  package func hiddenLayers(_ input: Value, _ configuration: NetworkConfiguration) -> Value {
    var value = input
    for size in configuration.hidden {
      let isNormalized = configuration.batchNorm || configuration.layerNorm
      let rectifies = configuration.activation == .relu && !isNormalized
      value = linear(
        value, outputs: size, bias: configuration.batchNorm ? .none : .zero, rectified: rectifies)
      if configuration.batchNorm { value = batchNorm(value) }
      if configuration.layerNorm { value = layerNorm(value) }
      if !rectifies { value = activation(value, configuration.activation) }
      value = dropout(value, rate: configuration.dropout)
    }
    return value
  }

  /// The linear part of a model: the first-order weights, and a linear layer over the dense features.
  package func linearPart() -> Value? {
    sum([firstOrder(), dense().map { linear($0, outputs: 1) }])
  }

  /// The size of all vectors, for models whose features interact column by column.
  package func uniformDimension() throws(ChanterError) -> Int {
    let sizes = Set(shape.features.map { shape.dimensions[$0.table] }).sorted()
    guard let size = sizes.first, sizes.count == 1 else {
      throw ChanterError(
        .badInput,
        sizes.isEmpty
          ? "model: this model needs categorical features, and the dataset has none"
          : "dimensions: this model multiplies the features' vectors, so all tables need vectors of one size, not "
            + sizes.map(String.init).joined(separator: " and "))
    }
    return size
  }
}

/// What an input that a model cannot do without is missing.
func required(_ value: Value?) throws(ChanterError) -> Value {
  guard let value else {
    throw ChanterError(.badInput, "model: the dataset has neither dense nor categorical features")
  }
  return value
}
