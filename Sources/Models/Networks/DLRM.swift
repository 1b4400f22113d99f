package import Primitives

/// DLRM (Naumov et al. 2019, arXiv 1906.00091): an MLP over the dense features, whose output interacts with the vectors of
/// the categorical features, and an MLP over that; as `dlrm_s_pytorch.py` of facebookresearch/dlrm computes it, without
/// self-interaction.
///
/// A dataset without dense features has no bottom MLP. With interaction `cat` the bottom's output and the vectors go to the top
/// MLP side by side, and tables may have vectors of different sizes.
package enum DLRM: Model {
  package static let keys: Set<NetworkConfiguration.Key> = [.dimension, .bottom, .top, .interaction]

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    guard configuration.top.last == 1 else {
      throw ChanterError(
        .badInput, "top: the last layer is \(configuration.top.last ?? 0); it must be 1, the logit")
    }
    let bottom = network.dense().map { dense in
      configuration.bottom.reduce(dense) {
        network.linear($0, outputs: $1, bias: .normal, rectified: true)
      }
    }
    var value: Value
    if configuration.interaction == .dot, !network.shape.features.isEmpty {
      let dimension = try network.uniformDimension()
      guard bottom == nil || bottom?.width == dimension else {
        throw ChanterError(
          .badInput,
          "bottom: the last layer is \(bottom?.width ?? 0); it must be the dimension \(dimension)")
      }
      guard bottom != nil || network.shape.features.count > 1 else {
        throw ChanterError(
          .badInput, "interaction: dot needs two vectors, and a sample has one here; choose cat")
      }
      value = try required(network.dotInteraction(first: bottom, dimension: dimension))
    } else {
      value = try required(network.concatenate([bottom, network.vectors()]))
    }
    for (index, size) in configuration.top.enumerated() {
      value = network.linear(
        value, outputs: size, bias: .normal, rectified: index < configuration.top.count - 1)
    }
    return value
  }
}
