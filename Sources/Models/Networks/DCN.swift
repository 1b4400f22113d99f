package import Primitives

/// Deep & Cross Network (Wang et al., ADKDD 2017, arXiv 1708.05123): cross layers with weight vectors beside an MLP, both
/// over the vectors and the dense features; a linear layer over both outputs.
///
/// Where it differs: vectors have one size unless the configuration gives tables their own, where the paper takes 6 times
/// the fourth root of a table's rows.
package enum DCN: Model {
  package static let keys: Set<NetworkConfiguration.Key> = MLP.hiddenKeys.union([.dimension, .crossLayers])

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    let input = try required(network.concatenate([network.vectors(), network.dense()]))
    var cross = input
    for _ in 0..<configuration.crossLayers { cross = network.crossVector(cross, from: input) }
    let deep = network.hiddenLayers(input, configuration)
    return network.linear(try required(network.concatenate([cross, deep])), outputs: 1)
  }
}
