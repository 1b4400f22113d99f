package import Primitives

/// Logistic regression: a weight for each value of each categorical feature and for each dense feature, and a bias.
///
/// The bias belongs to the dense features; a dataset without any has none, because every sample's weights can take it up.
package enum LogisticRegression: Model {
  package static let keys: Set<NetworkConfiguration.Key> = []

  package static func logit(_ network: NetworkBuilder, _ configuration: NetworkConfiguration)
    throws(ChanterError) -> Value
  {
    try required(network.linearPart())
  }
}
