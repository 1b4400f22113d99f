package import Primitives

/// Wide & Deep (Cheng et al., DLRS 2016, arXiv 1606.07792): a linear model over sparse features and an MLP over their
/// vectors, trained together on the sum of their logits.
///
/// The wide part has a real weight for each value, in the row of its vector. Where it differs: cross-product features are those
/// that the dataset has; wide and deep part share the optimizer of the rows, where the paper takes FTRL and Adagrad;
/// dense features are in both parts.
package enum WideDeep: Model {
  package static let keys: Set<NetworkConfiguration.Key> = MLP.hiddenKeys.union([.dimension])

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    let vectors = network.vectors()
    let wide = network.linearPart()
    let input = try required(network.concatenate([vectors, network.dense()]))
    let deep = network.linear(network.hiddenLayers(input, configuration), outputs: 1)
    return try required(network.sum([wide, deep]))
  }
}
