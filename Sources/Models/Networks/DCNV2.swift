package import Primitives

/// DCN-V2 (Wang et al., WWW 2021, arXiv 2008.13535): cross layers with weight matrices, full or of low rank, and an MLP,
/// side by side or one on top of the other (figure 1).
///
/// Where it differs: the low-rank form has no mixture of experts and no nonlinearity between its two matrices (equation
/// 2 of the paper, not 3 and 4).
package enum DCNV2: Model {
  package static let keys: Set<NetworkConfiguration.Key> =
    MLP.hiddenKeys.union([.dimension, .crossLayers, .crossRank, .structure])

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    let input = try required(network.concatenate([network.vectors(), network.dense()]))
    let rank = configuration.crossRank == 0 ? nil : configuration.crossRank
    if let rank, rank >= input.width {
      throw ChanterError(
        .badInput,
        "cross_rank: \(rank) saves nothing, since a sample is \(input.width) numbers here; give a smaller rank, or 0 for"
          + " full matrices")
    }
    var cross = input
    for _ in 0..<configuration.crossLayers { cross = network.crossMatrix(cross, from: input, rank: rank) }
    switch configuration.structure {
    case .stacked: return network.linear(network.hiddenLayers(cross, configuration), outputs: 1)
    case .parallel:
      let deep = network.hiddenLayers(input, configuration)
      return network.linear(try required(network.concatenate([cross, deep])), outputs: 1)
    }
  }
}
