// Exponentials of eight floats at a time, by range reduction and polynomials in the manner of the Cephes library (Moshier).
// Errors stay below 2 units in the last place, and a place's result depends on its own input only.

/// eˣ; inputs are cut to where the result is a normal number. A NaN stays one.
@inline(__always)
func exponential(_ input: Vector) -> Vector {
  let highest = Vector(repeating: 88)
  let lowest = Vector(repeating: -87)
  let x = input.replacing(with: highest, where: input .> highest).replacing(
    with: lowest, where: input .< lowest)
  // Adding 1.5 · 2²³ rounds to a whole number n, whose bits are then the lowest of the sum.
  let magic = Vector(repeating: 12_582_912)
  let shifted = magic.addingProduct(x, Vector(repeating: 1.442_695_04))
  let n = shifted - magic
  // x - n ln 2, with ln 2 in two parts, the first of which has few enough bits to multiply exactly.
  let rest = x.addingProduct(n, Vector(repeating: -0.693_359_375)).addingProduct(
    n, Vector(repeating: 2.121_944_4e-4))
  var series = Vector(repeating: 1.987_569_2e-4)
  for coefficient: Float in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
    series = Vector(repeating: coefficient).addingProduct(series, rest)
  }
  let fraction = (rest + 1).addingProduct(series, rest * rest)
  let bits =
    unsafeBitCast(fraction, to: SIMD8<Int32>.self)
    &+ (unsafeBitCast(shifted, to: SIMD8<Int32>.self) &<< 23)
  return unsafeBitCast(bits, to: Vector.self)
}

/// 1 / (1 + e⁻ˣ).
@inline(__always)
func sigmoid(_ x: Vector) -> Vector { 1 / (1 + exponential(-x)) }

/// The hyperbolic tangent; near zero by a series, where 1 - 2 / (e²ˣ + 1) would lose all digits.
@inline(__always)
func hyperbolicTangent(_ x: Vector) -> Vector {
  let square = x * x
  var series = Vector(repeating: -5.704_988_7e-3)
  for coefficient: Float in [2.063_908_9e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328_2e-1] {
    series = Vector(repeating: coefficient).addingProduct(series, square)
  }
  let near = x.addingProduct(series * square, x)
  let far = 1 - 2 / (exponential(x + x) + 1)
  return far.replacing(with: near, where: square .< 0.390_625)
}
