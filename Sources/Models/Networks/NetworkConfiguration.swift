import Primitives

/// The shape of a network. Each model reads its own keys of it; the others stay at their defaults.
public struct NetworkConfiguration: Codable, Equatable, Sendable {
  /// The keys that some models have and others have not, as a configuration names them.
  public enum Key: String, CaseIterable, Sendable {
    case dimension, bottom, top, interaction, hidden, activation, dropout
    case batchNorm = "batch_norm"
    case layerNorm = "layer_norm"
    case crossLayers = "cross_layers"
    case crossRank = "cross_rank"
    case structure
  }

  public enum Interaction: String, Codable, CaseIterable, Sendable {
    /// Dot products of all pairs of vectors.
    case dot
    /// The vectors side by side.
    case cat
  }

  public enum Structure: String, Codable, CaseIterable, Sendable {
    /// Cross layers and hidden layers side by side on the same input.
    case parallel
    /// Hidden layers on top of the cross layers.
    case stacked
  }

  public var kind = ModelKind.dlrm
  /// Outputs of the layers over the dense features, each with ReLU. Where a configuration does not list them, the last one
  /// is its dimension.
  public var bottom = [512, 256, 64, 16]
  /// Outputs of the layers over the interactions, each with ReLU but the last, which is 1, the logit.
  public var top = [512, 256, 1]
  public var interaction = Interaction.dot
  /// Outputs of the hidden layers.
  public var hidden = [400, 400, 400]
  /// Behind each hidden layer.
  public var activation = Activation.relu
  /// Share of each hidden layer's outputs that training drops.
  public var dropout: Float = 0
  public var batchNorm = false
  public var layerNorm = false
  public var crossLayers = 3
  /// Rank of the cross layers' matrices; 0 for full ones.
  public var crossRank = 0
  public var structure = Structure.parallel

  public init(_ kind: ModelKind = .dlrm) { self.kind = kind }

  public static let layerSizes = 1...65_536
  public static let layerCounts = 1...64

  /// Throws `badInput` with the name of the first key whose value no model can have.
  func validate() throws(ChanterError) {
    for (key, sizes) in [("bottom", bottom), ("top", top), ("hidden", hidden)] {
      guard Self.layerCounts.contains(sizes.count), sizes.allSatisfy(Self.layerSizes.contains) else {
        throw ChanterError(
          .badInput,
          "\(key): must list \(Self.layerCounts.lowerBound) to \(Self.layerCounts.upperBound) layer sizes, each from"
            + " \(Self.layerSizes.lowerBound) to \(Self.layerSizes.upperBound)")
      }
    }
    guard dropout >= 0, dropout < 1 else {
      throw ChanterError(.badInput, "dropout: must be at least 0 and below 1, not \(dropout)")
    }
    guard Self.layerCounts.contains(crossLayers), (0...Self.layerSizes.upperBound).contains(crossRank) else {
      throw ChanterError(
        .badInput,
        "cross_layers: must be 1 to \(Self.layerCounts.upperBound), and cross_rank 0 to \(Self.layerSizes.upperBound)"
      )
    }
  }
}
