#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// How much samples of each label count in the loss, beside their own weights. Default 1 each.
public struct ClassWeights: Codable, Equatable, Sendable {
  public var negative: Float
  public var positive: Float

  public init(negative: Float = 1, positive: Float = 1) {
    self.negative = negative
    self.positive = positive
  }
}

/// Weighted binary cross entropy on logits: w (max(x, 0) - x y + log(1 + exp(-|x|))), which no logit can overflow.
///
/// - Parameters:
///   - logits: `[count]`.
///   - labels: `[count]`, 0 or 1.
///   - weights: `[count]`, or nil for 1 each; times the weight of the label's class.
///   - batchSize: samples of the whole batch. The loss that is differentiated is the sum divided by it, as
///     binary_cross_entropy_with_logits of PyTorch with `weight` has it, and not by the sum of the weights.
///   - gradients: `[count]`, receives w (sigmoid(x) - y) / batchSize.
/// - Returns: the sum (not the mean) over `count` samples, added in their order in double precision.
package func binaryCrossEntropy(
  logits: UnsafePointer<Float>, labels: UnsafePointer<Float>, weights: UnsafePointer<Float>? = nil,
  classWeights: ClassWeights = ClassWeights(), count: Int, batchSize: Int,
  gradients: UnsafeMutablePointer<Float>
) -> Double {
  let scale = 1 / Double(batchSize)
  let (negative, positive) = (Double(classWeights.negative), Double(classWeights.positive))
  var sum = 0.0
  for sample in 0..<count {
    let logit = Double(logits[sample])
    let label = Double(labels[sample])
    let weight = (label > 0.5 ? positive : negative) * (weights.map { Double($0[sample]) } ?? 1)
    let tail = exp(-abs(logit))
    sum += weight * (max(logit, 0) - logit * label + log1p(tail))
    let probability = (logit >= 0 ? 1 : tail) / (1 + tail)
    gradients[sample] = Float((probability - label) * scale * weight)
  }
  return sum
}

/// The probability that a logit stands for, 1 / (1 + exp(-x)).
package func sigmoid(_ logit: Float) -> Float {
  let tail = exp(-abs(Double(logit)))
  return Float((logit >= 0 ? 1 : tail) / (1 + tail))
}
