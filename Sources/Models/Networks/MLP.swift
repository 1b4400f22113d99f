package import Primitives

/// A plain multi-layer perceptron over the vectors of the categorical features and the dense features side by side: the deep
/// part of Wide & Deep (Cheng et al., DLRS 2016, arXiv 1606.07792, section 3.2) alone.
package enum MLP: Model {
  package static let keys: Set<NetworkConfiguration.Key> = hiddenKeys.union([.dimension])
  /// What `hiddenLayers` reads.
  static let hiddenKeys: Set<NetworkConfiguration.Key> = [
    .hidden, .activation, .dropout, .batchNorm, .layerNorm,
  ]

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    let input = try required(network.concatenate([network.vectors(), network.dense()]))
    return network.linear(network.hiddenLayers(input, configuration), outputs: 1)
  }
}
