package import Primitives

/// DeepFM (Guo et al., IJCAI 2017, arXiv 1703.04247): a factorization machine and an MLP over the same vectors, trained
/// together on the sum of their logits.
///
/// Where it differs: dense features have a linear weight each and go into the MLP as they are, without a vector; the values of
/// a bag are pooled to one vector first.
package enum DeepFM: Model {
  package static let keys: Set<NetworkConfiguration.Key> = MLP.hiddenKeys.union([.dimension])

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    let dimension = try network.uniformDimension()
    let vectors = network.vectors()
    let pairs = vectors.map { network.factorizationMachine(vectors: $0, dimension: dimension) }
    let linear = network.linearPart()
    let input = try required(network.concatenate([vectors, network.dense()]))
    let deep = network.linear(network.hiddenLayers(input, configuration), outputs: 1)
    return try required(network.sum([pairs, linear, deep]))
  }
}
