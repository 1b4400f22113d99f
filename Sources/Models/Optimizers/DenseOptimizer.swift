/// How the dense parameters (those of the layers) change, each on its own, once per batch. State starts at zero.
public struct DenseOptimizer: Codable, Equatable, Sendable {
  /// The names are those of a configuration.
  public enum Rule: String, Codable, CaseIterable, Sendable {
    /// Without momentum w -= learningRate · g. With it, one state: b = momentum · b + g; w -= learningRate · b, as
    /// torch.optim.SGD without dampening.
    case sgd
    /// state += g²; w -= learningRate · g / (sqrt(state) + epsilon), as torch.optim.Adagrad without decay.
    case adagrad
    /// The moments m = beta1 m + (1 - beta1) g and v = beta2 v + (1 - beta2) g²; with t the number of the batch since
    /// training began, w -= learningRate / (1 - beta1ᵗ) · m / (sqrt(v / (1 - beta2ᵗ)) + epsilon). Kingma and Ba, ICLR
    /// 2015, arXiv 1412.6980, algorithm 1, as torch.optim.Adam.
    case adam
    /// Adam, and before it w -= learningRate · weightDecay · w, as torch.optim.AdamW (Loshchilov and Hutter, ICLR 2019,
    /// arXiv 1711.05101, with the learning rate in place of the schedule multiplier).
    case adamw
  }

  public var rule: Rule
  public var learningRate: Float
  /// SGD only. Default 0.
  public var momentum: Float
  /// Added to the root of the state. Default 1e-8.
  public var epsilon: Float
  /// Decay of Adam's first moment. Default 0.9.
  public var beta1: Float
  /// Decay of Adam's second moment. Default 0.999.
  public var beta2: Float
  /// AdamW only. Default 0.
  public var weightDecay: Float
  /// Adds l2 · w to the gradient of every parameter, biases included: the gradient of l2 / 2 · |w|², as `weight_decay` of
  /// torch.optim.SGD, Adagrad and Adam. Default 0.
  public var l2: Float

  public init(
    _ rule: Rule, learningRate: Float, momentum: Float = 0, epsilon: Float = 1e-8, beta1: Float = 0.9,
    beta2: Float = 0.999, weightDecay: Float = 0, l2: Float = 0
  ) {
    self.rule = rule
    self.learningRate = learningRate
    self.momentum = momentum
    self.epsilon = epsilon
    self.beta1 = beta1
    self.beta2 = beta2
    self.weightDecay = weightDecay
    self.l2 = l2
  }

  /// Floats of state per parameter.
  public var stateFloats: Int {
    switch rule {
    case .sgd: momentum == 0 ? 0 : 1
    case .adagrad: 1
    case .adam, .adamw: 2
    }
  }
}

/// The numbers of a dense update that are the same for all parameters of a batch.
package struct DenseStep {
  private let optimizer: DenseOptimizer
  private let rate: Float
  /// What Adam multiplies the root of its second moment by.
  private let rootScale: Float
  /// What AdamW multiplies weights by.
  private let keep: Float
  private let gradientScale: Float

  /// - Parameters:
  ///   - step: number of the batch, from 0.
  ///   - learningRateFactor: what a schedule multiplies the learning rate by.
  ///   - gradientScale: what clipping multiplies gradients by, before L2 is added.
  package init(
    _ optimizer: DenseOptimizer, step: Int, learningRateFactor: Float = 1, gradientScale: Float = 1
  ) {
    self.optimizer = optimizer
    let learningRate = optimizer.learningRate * learningRateFactor
    self.gradientScale = gradientScale
    keep = optimizer.rule == .adamw ? 1 - learningRate * optimizer.weightDecay : 1
    switch optimizer.rule {
    case .adam, .adamw:
      let correction = BiasCorrection(beta1: optimizer.beta1, beta2: optimizer.beta2, step: step)
      rate = Float(Double(learningRate) / correction.first)
      rootScale = Float(1 / correction.second.squareRoot())
    case .sgd, .adagrad:
      rate = learningRate
      rootScale = 1
    }
  }

  /// Updates the parameters of `range` with the sum of the lanes' gradients, the lanes added in order 0, 1, 2, …. A range may
  /// begin and end anywhere.
  /// - Parameters:
  ///   - parameters: `[parameterCount]`, then `[stateFloats × parameterCount]`.
  ///   - lanes: `[laneCount × parameterCount]`.
  /// - Returns: whether all parameters of the range are finite now.
  package func apply(
    to parameters: UnsafeMutablePointer<Float>, lanes: UnsafePointer<Float>, laneCount: Int,
    parameterCount: Int, range: Range<Int>
  ) -> Bool {
    let rate = rate
    let epsilon = optimizer.epsilon
    let first = parameters + parameterCount
    let gradients = LaneSum(
      parameters: parameters, lanes: lanes, laneCount: laneCount, stride: parameterCount,
      scale: gradientScale, l2: optimizer.l2)
    switch optimizer.rule {
    case .sgd where optimizer.momentum == 0:
      return gradients.update(range) { index, count, weight, gradient in weight - gradient * rate }
    case .sgd:
      let momentum = optimizer.momentum
      return gradients.update(range) { index, count, weight, gradient in
        let velocity = load(first + index, count) * momentum + gradient
        store(velocity, first + index, count)
        return weight - velocity * rate
      }
    case .adagrad:
      return gradients.update(range) { index, count, weight, gradient in
        let state = load(first + index, count) + gradient * gradient
        store(state, first + index, count)
        return weight - gradient * rate / (state.squareRoot() + epsilon)
      }
    case .adam, .adamw:
      let second = first + parameterCount
      let (beta1, beta2) = (optimizer.beta1, optimizer.beta2)
      let (rest1, rest2) = (complement(beta1), complement(beta2))
      let (keep, rootScale) = (keep, rootScale)
      return gradients.update(range) { index, count, weight, gradient in
        let mean = load(first + index, count) * beta1 + gradient * rest1
        let square = load(second + index, count) * beta2 + gradient * gradient * rest2
        store(mean, first + index, count)
        store(square, second + index, count)
        return weight * keep - mean * rate / (square.squareRoot() * rootScale + epsilon)
      }
    }
  }
}

/// The gradient of each parameter as an optimizer takes it: the lanes' sum, scaled, and the L2 term.
private struct LaneSum {
  let parameters: UnsafeMutablePointer<Float>
  let lanes: UnsafePointer<Float>
  let laneCount: Int
  let stride: Int
  let scale: Float
  let l2: Float

  /// Gives each parameter of `range` the value that `body` makes of it. Returns whether all are finite then.
  @inline(__always)
  func update(
    _ range: Range<Int>,
    _ body: (_ index: Int, _ count: Int, _ weight: Vector, _ gradient: Vector) -> Vector
  ) -> Bool {
    let (parameters, l2, scale) = (parameters, l2, scale)
    let isPlain = l2 == 0 && scale == 1
    // A number minus itself is zero unless it is infinite or none.
    var check = Vector.zero
    @inline(__always)
    func set(_ index: Int, _ count: Int, _ sum: Vector) {
      let weight = load(parameters + index, count)
      let new = body(index, count, weight, isPlain ? sum : sum * scale + weight * l2)
      store(new, parameters + index, count)
      check += new - new
    }
    var index = range.lowerBound
    // Two cache lines of each lane at a time, so that many reads are on their way at once.
    while index + 32 <= range.upperBound {
      var lane = lanes + index
      var (sum0, sum1) = (load(lane), load(lane + 8))
      var (sum2, sum3) = (load(lane + 16), load(lane + 24))
      for _ in 1..<max(1, laneCount) {
        lane += stride
        sum0 += load(lane)
        sum1 += load(lane + 8)
        sum2 += load(lane + 16)
        sum3 += load(lane + 24)
      }
      set(index, 8, sum0)
      set(index + 8, 8, sum1)
      set(index + 16, 8, sum2)
      set(index + 24, 8, sum3)
      index += 32
    }
    let rest = index
    forEachVector(range.upperBound - rest) { offset, count in
      let place = rest + offset
      var sum = load(lanes + place, count)
      for lane in 1..<max(1, laneCount) { sum += load(lanes + lane * stride + place, count) }
      set(place, count, sum)
    }
    return laneSum(check) == 0
  }
}
