package import Primitives

/// A factorization machine of degree 2 (Rendle, ICDM 2010, equation 1) over the categorical features.
///
/// Where it differs: dense features have a linear weight each and no vector, so they do not interact; the values of a
/// bag are pooled to one vector first, so they do not interact with each other.
package enum FactorizationMachineModel: Model {
  package static let keys: Set<NetworkConfiguration.Key> = [.dimension]

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    let dimension = try network.uniformDimension()
    let pairs = network.vectors().map { network.factorizationMachine(vectors: $0, dimension: dimension) }
    return try required(network.sum([pairs, network.linearPart()]))
  }
}
