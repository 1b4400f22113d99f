/// 1 - betaᵗ, in double precision: close to 1 a Float has too few digits left.
struct BiasCorrection {
  let first: Double
  let second: Double

  /// - Parameter step: number of the batch, from 0, so t = step + 1.
  init(beta1: Float, beta2: Float, step: Int) {
    first = 1 - power(decimal(beta1), step + 1)
    second = 1 - power(decimal(beta2), step + 1)
  }
}

/// 1 - beta, which Float arithmetic would get wrong in the fifth digit for 0.999.
func complement(_ beta: Float) -> Float { Float(1 - decimal(beta)) }

/// The number that was written: a Float given as 0.999 means that and not the nearest binary fraction.
private func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

/// `base` to a whole power, by squaring.
private func power(_ base: Double, _ exponent: Int) -> Double {
  var factor = base
  var rest = exponent
  var result = 1.0
  while rest > 0 {
    if rest & 1 == 1 { result *= factor }
    factor *= factor
    rest >>= 1
  }
  return result
}
