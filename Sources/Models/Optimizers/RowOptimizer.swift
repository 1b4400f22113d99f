/// How one embedding row changes: once per batch, from the sum of the gradients of all entries that use it. A row that the
/// batch does not use stays as it is, its moments included: what torch.optim.SparseAdam does, and what keeps the work of a
/// batch independent of the size of the tables.
///
/// State lies behind the weights of the row and starts at zero.
public struct RowOptimizer: Codable, Equatable, Sendable {
  /// The names are those of a configuration.
  public enum Rule: String, Codable, CaseIterable, Sendable {
    /// w -= learningRate · g.
    case sgd
    /// One state a weight: state += g²; w -= learningRate · g / (sqrt(state) + epsilon). Duchi et al., JMLR 12 (2011);
    /// torch.optim.Adagrad on coalesced sparse gradients.
    case adagrad
    /// One state for the whole row: state += mean of g² over the row's weights; then as Adagrad.
    /// EXACT_ROWWISE_ADAGRAD of FBGEMM.
    case rowwiseAdagrad = "rowwise_adagrad"
    /// Two states a weight, the moments m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g²;
    /// w -= learningRate · sqrt(1 - beta2ᵗ) / (1 - beta1ᵗ) · m / (sqrt(v) + epsilon). Kingma and Ba, ICLR 2015,
    /// arXiv 1412.6980, in the order of section 2's last paragraph, as torch.optim.SparseAdam: t is the number of the
    /// batch since training began, not of the row's own updates, and the moments of a row do not decay in batches
    /// without it.
    case adam
    /// Adam, and before it w -= learningRate · weightDecay · w for the rows that the batch uses (Loshchilov and Hutter,
    /// ICLR 2019, arXiv 1711.05101). The decay of the paper shrinks every row in every batch; here a row shrinks as often
    /// as it is used.
    case adamw
  }

  public var rule: Rule
  public var learningRate: Float
  /// Added to the root of the state. Default 1e-8.
  public var epsilon: Float
  /// Decay of Adam's first moment. Default 0.9.
  public var beta1: Float
  /// Decay of Adam's second moment. Default 0.999.
  public var beta2: Float
  /// AdamW only. Default 0.
  public var weightDecay: Float
  /// Adds l2 · w to the summed gradient of each row that the batch uses, which is the gradient of l2 / 2 · |w|². Default 0.
  ///
  /// This is not regularisation of the whole table, which would change every row in every batch: a row used in a share p
  /// of the batches is regularised with p · l2 only, so rare rows are held back less than frequent ones. It is what a
  /// library gets that regularises the looked-up vectors, except that a row counts once however many samples use it.
  public var l2: Float

  public init(
    _ rule: Rule, learningRate: Float, epsilon: Float = 1e-8, beta1: Float = 0.9, beta2: Float = 0.999,
    weightDecay: Float = 0, l2: Float = 0
  ) {
    self.rule = rule
    self.learningRate = learningRate
    self.epsilon = epsilon
    self.beta1 = beta1
    self.beta2 = beta2
    self.weightDecay = weightDecay
    self.l2 = l2
  }

  /// Floats of state behind a row of `dimension` weights.
  public func stateFloats(dimension: Int) -> Int {
    switch rule {
    case .sgd: 0
    case .adagrad: dimension
    case .rowwiseAdagrad: 1
    case .adam, .adamw: 2 * dimension
    }
  }
}

/// The numbers of a row update that are the same for all rows of a batch.
package struct RowStep {
  private let rule: RowOptimizer.Rule
  private let rate: Float
  private let epsilon: Float
  private let beta1: Float
  private let beta2: Float
  private let rest1: Float
  private let rest2: Float
  /// What AdamW multiplies weights by.
  private let keep: Float
  private let l2: Float
  private let gradientScale: Float

  /// - Parameters:
  ///   - step: number of the batch, from 0.
  ///   - learningRateFactor: what a schedule multiplies the learning rate by.
  ///   - gradientScale: what clipping multiplies gradients by, before `l2` is added.
  package init(
    _ optimizer: RowOptimizer, step: Int, learningRateFactor: Float = 1, gradientScale: Float = 1
  ) {
    rule = optimizer.rule
    let learningRate = optimizer.learningRate * learningRateFactor
    epsilon = optimizer.epsilon
    beta1 = optimizer.beta1
    beta2 = optimizer.beta2
    rest1 = complement(beta1)
    rest2 = complement(beta2)
    keep = optimizer.rule == .adamw ? 1 - learningRate * optimizer.weightDecay : 1
    l2 = optimizer.l2
    self.gradientScale = gradientScale
    switch rule {
    case .adam, .adamw:
      let correction = BiasCorrection(beta1: beta1, beta2: beta2, step: step)
      rate = Float(Double(learningRate) * correction.second.squareRoot() / correction.first)
    case .sgd, .adagrad, .rowwiseAdagrad: rate = learningRate
    }
  }

  /// Updates one row in place.
  /// - Parameters:
  ///   - row: weights, then from `dimension` on its state.
  ///   - gradient: `width` floats, with room for whole vectors; overwritten.
  ///   - width: weights of this row, at most `dimension`.
  @inline(__always)
  package func apply(
    row: UnsafeMutablePointer<Float>, gradient: UnsafeMutablePointer<Float>, width: Int, dimension: Int
  ) {
    if gradientScale != 1 || l2 != 0 {
      forEachVector(width) { column, lanes in
        store(load(gradient + column) * gradientScale + load(row + column, lanes) * l2, gradient + column)
      }
    }
    switch rule {
    case .sgd: descend(row, gradient, width, rate)
    case .rowwiseAdagrad:
      let state = row[dimension] + sumOfSquares(gradient, width) / Float(width)
      row[dimension] = state
      descend(row, gradient, width, rate / (state.squareRoot() + epsilon))
    case .adagrad:
      let states = row + dimension
      forEachVector(width) { column, lanes in
        let slope = load(gradient + column)
        let state = load(states + column, lanes) + slope * slope
        store(state, states + column, lanes)
        store(
          load(row + column, lanes) - slope * rate / (state.squareRoot() + epsilon), row + column, lanes)
      }
    case .adam, .adamw:
      let first = row + dimension
      let second = first + dimension
      forEachVector(width) { column, lanes in
        let slope = load(gradient + column)
        let mean = load(first + column, lanes) * beta1 + slope * rest1
        let square = load(second + column, lanes) * beta2 + slope * slope * rest2
        store(mean, first + column, lanes)
        store(square, second + column, lanes)
        store(
          load(row + column, lanes) * keep - mean * rate / (square.squareRoot() + epsilon), row + column,
          lanes)
      }
    }
  }

  @inline(__always)
  private func descend(
    _ row: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>, _ width: Int, _ factor: Float
  ) {
    forEachVector(width) { column, lanes in
      store(load(row + column, lanes) - load(gradient + column) * factor, row + column, lanes)
    }
  }
}

/// Σ x², in eight running sums, then across them, then the tail.
@inline(__always)
func sumOfSquares(_ values: UnsafePointer<Float>, _ count: Int) -> Float {
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
