/// How the dense parameters (the MLPs) change, each on its own, once per batch.
public enum DenseOptimizer: Codable, Equatable, Sendable {
  /// w -= learningRate · g, as torch.optim.SGD without momentum.
  case sgd(learningRate: Float)
  /// state += g²; w -= learningRate · g / (sqrt(state) + epsilon), as torch.optim.Adagrad without decay.
  case adagrad(learningRate: Float, epsilon: Float)

  /// Floats of state per parameter. They start at zero.
  public var stateFloats: Int {
    switch self {
    case .sgd: 0
    case .adagrad: 1
    }
  }

  /// Updates the parameters of `range` with the sum of the lanes' gradients, the lanes added in order 0, 1, 2, ….
  /// - Parameters:
  ///   - parameters: `[parameterCount]`, then `[parameterCount]` state if there is any.
  ///   - lanes: `[lanes × parameterCount]`.
  package func apply(
    to parameters: UnsafeMutablePointer<Float>, lanes: UnsafePointer<Float>, laneCount: Int,
    parameterCount: Int,
    range: Range<Int>
  ) {
    switch self {
    case .sgd(let learningRate):
      forEachSum(lanes, laneCount, parameterCount, range) { index, gradient in
        store(load(parameters + index) - gradient * learningRate, parameters + index)
      } tail: { index, gradient in
        parameters[index] -= gradient * learningRate
      }
    case .adagrad(let learningRate, let epsilon):
      let states = parameters + parameterCount
      forEachSum(lanes, laneCount, parameterCount, range) { index, gradient in
        let state = load(states + index) + gradient * gradient
        store(state, states + index)
        let step = gradient * learningRate / (state.squareRoot() + epsilon)
        store(load(parameters + index) - step, parameters + index)
      } tail: { index, gradient in
        let state = states[index] + gradient * gradient
        states[index] = state
        parameters[index] -= gradient * learningRate / (state.squareRoot() + epsilon)
      }
    }
  }
}

/// Hands out the sum over the lanes, eight parameters at a time, then one at a time. Both give a parameter the same
/// bits, so a range may begin and end anywhere.
@inline(__always)
private func forEachSum(
  _ lanes: UnsafePointer<Float>, _ laneCount: Int, _ stride: Int, _ range: Range<Int>,
  vector: (Int, Vector) -> Void, tail: (Int, Float) -> Void
) {
  var index = range.lowerBound
  while index + 8 <= range.upperBound {
    var sum = load(lanes + index)
    for lane in 1..<max(1, laneCount) { sum += load(lanes + lane * stride + index) }
    vector(index, sum)
    index += 8
  }
  while index < range.upperBound {
    var sum = lanes[index]
    for lane in 1..<max(1, laneCount) { sum += lanes[lane * stride + index] }
    tail(index, sum)
    index += 1
  }
}
