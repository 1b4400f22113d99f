public import Primitives

/// One tensor of a model's dense parameters, or of what batch normalisation keeps beside them.
public struct ParameterTensor: Equatable, Sendable {
  /// `layers.N.NAME`: the number of the layer among all of the network's, counted from 1 as messages count it, and the name
  /// that torch.nn gives to the like.
  public let name: String
  /// Sizes of the dimensions, the slowest first.
  public let shape: [Int]
  /// First float in `DenseModel.parameterBytes`.
  public let offset: Int
}

/// A tensor as its layer names it.
package struct LayerTensor: Sendable {
  package enum Place: Sendable {
    case parameters(Int)
    case averages(Int)
  }

  package let name: String
  package let shape: [Int]
  package let place: Place

  /// A tensor among the layer's parameters, from `first` on.
  package init(_ name: String, _ shape: [Int], at first: Int) {
    self.init(name, shape, .parameters(first))
  }

  package init(_ name: String, _ shape: [Int], _ place: Place) {
    self.name = name
    self.shape = shape
    self.place = place
  }
}

extension ModelSpecification {
  /// What a model of this kind has learnt, layer by layer; optimizer state is not there.
  public func tensors() throws(ChanterError) -> [ParameterTensor] {
    let network = try Network(self, limits: .none)
    let firstAverage = BufferSizes(network, self, limits: .none, threadCount: 1).firstAverage
    var result: [ParameterTensor] = []
    for (number, layer) in network.layers.enumerated() {
      for tensor in layer.tensors {
        let offset =
          switch tensor.place {
          case .parameters(let first): first
          case .averages(let first): firstAverage + first
          }
        result.append(
          ParameterTensor(name: "layers.\(number + 1).\(tensor.name)", shape: tensor.shape, offset: offset))
      }
    }
    return result
  }
}
