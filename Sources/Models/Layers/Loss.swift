#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Binary cross entropy on logits: max(x, 0) - x y + log(1 + exp(-|x|)), which no logit can overflow.
///
/// - Parameters:
///   - logits: `[count]`.
///   - labels: `[count]`, 0 or 1.
///   - batchSize: samples of the whole batch; the loss that is differentiated is the mean over them.
///   - gradients: `[count]`, receives (sigmoid(x) - y) / batchSize.
/// - Returns: the sum (not the mean) over `count` samples, added in their order in double precision.
package func binaryCrossEntropy(
  logits: UnsafePointer<Float>, labels: UnsafePointer<Float>, count: Int, batchSize: Int,
  gradients: UnsafeMutablePointer<Float>
) -> Double {
  let scale = 1 / Double(batchSize)
  var sum = 0.0
  for sample in 0..<count {
    let logit = Double(logits[sample])
    let label = Double(labels[sample])
    let tail = exp(-abs(logit))
    sum += max(logit, 0) - logit * label + log1p(tail)
    let probability = (logit >= 0 ? 1 : tail) / (1 + tail)
    gradients[sample] = Float((probability - label) * scale)
  }
  return sum
}

/// The probability that a logit stands for, 1 / (1 + exp(-x)).
package func sigmoid(_ logit: Float) -> Float {
  let tail = exp(-abs(Double(logit)))
  return Float((logit >= 0 ? 1 : tail) / (1 + tail))
}
