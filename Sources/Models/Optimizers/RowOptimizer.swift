/// How one embedding row changes: once per batch, from the sum of the gradients of all samples that use it. Rows that
/// the batch does not use stay as they are.
public enum RowOptimizer: Codable, Equatable, Sendable {
  /// w -= learningRate · g.
  case sgd(learningRate: Float)
  /// One state for the whole row: state += mean over the dimension of g²; w -= learningRate · g / (sqrt(state) + epsilon).
  /// As EXACT_ROWWISE_ADAGRAD of FBGEMM. The state is one float behind the weights.
  case rowwiseAdagrad(learningRate: Float, epsilon: Float)

  /// Floats of state behind the weights of a row. They start at zero.
  public var stateFloats: Int {
    switch self {
    case .sgd: 0
    case .rowwiseAdagrad: 1
    }
  }

  /// Updates one row in place.
  /// - Parameters:
  ///   - row: `dimension` weights, then `stateFloats` floats of state.
  ///   - gradient: `dimension` floats.
  @inline(__always)
  public func apply(
    row: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>, dimension: Int
  ) {
    let factor: Float
    switch self {
    case .sgd(let learningRate):
      factor = learningRate
    case .rowwiseAdagrad(let learningRate, let epsilon):
      let state = row[dimension] + sumOfSquares(gradient, dimension) / Float(dimension)
      row[dimension] = state
      factor = learningRate / (state.squareRoot() + epsilon)
    }
    let whole = dimension & ~7
    var column = 0
    while column < whole {
      store(load(row + column) - load(gradient + column) * factor, row + column)
      column += 8
    }
    while column < dimension {
      row[column] -= gradient[column] * factor
      column += 1
    }
  }
}

/// Σ x², in eight running sums, then across them, then the tail.
@inline(__always)
private func sumOfSquares(_ values: UnsafePointer<Float>, _ count: Int) -> Float {
  let whole = count & ~7
  var sum = Vector(repeating: 0)
  var index = 0
  while index < whole {
    let part = load(values + index)
    sum.addProduct(part, part)
    index += 8
  }
  var total = laneSum(sum)
  while index < count {
    total += values[index] * values[index]
    index += 1
  }
  return total
}
