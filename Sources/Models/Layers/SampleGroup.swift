/// Forward passes for prediction, on 16 samples side by side: a matrix is `[features × 16]`, so a sample is one place in a
/// pair of vectors and every place goes through the same instructions.
///
/// That, and not speed alone, is why prediction does not call OpenBLAS: its AVX2 kernels give equal samples different
/// last bits in different columns, so a score would depend on the batch around the sample. Here each sum runs over the
/// features in order, with fused multiply-add.
package enum SampleGroup {
  package static let size = 16
}

extension Linear {
  /// - Parameters:
  ///   - input: `[inputs × 16]`.
  ///   - output: `[outputs × 16]`.
  package func forwardGroup(
    _ parameters: UnsafePointer<Float>, input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>
  ) {
    let inputs = inputs
    let last = outputs - 1
    let weights = parameters + firstParameter
    let biases = weights + outputs * inputs
    let hasBias = bias != .none
    func biasOf(_ row: Int) -> Float { hasBias ? biases[row] : 0 }
    // max(x, lowest) keeps every number where there is no ReLU.
    let floor = Vector(repeating: rectified ? 0 : -Float.infinity)
    var first = 0
    // Six rows of two vectors: twelve sums, as many as registers hold beside two inputs and a weight. Rows past the last
    // one compute the last one again.
    while first <= last {
      let (row1, row2) = (min(first + 1, last), min(first + 2, last))
      let (row3, row4) = (min(first + 3, last), min(first + 4, last))
      let row5 = min(first + 5, last)
      let weights0 = weights + first * inputs
      let weights1 = weights + row1 * inputs
      let weights2 = weights + row2 * inputs
      let weights3 = weights + row3 * inputs
      let weights4 = weights + row4 * inputs
      let weights5 = weights + row5 * inputs
      var (low0, high0) = (Vector(repeating: 0), Vector(repeating: 0))
      var (low1, high1) = (low0, low0)
      var (low2, high2) = (low0, low0)
      var (low3, high3) = (low0, low0)
      var (low4, high4) = (low0, low0)
      var (low5, high5) = (low0, low0)
      for column in 0..<inputs {
        let low = load(input + column * SampleGroup.size)
        let high = load(input + column * SampleGroup.size + 8)
        addProducts(weights0[column], low, high, &low0, &high0)
        addProducts(weights1[column], low, high, &low1, &high1)
        addProducts(weights2[column], low, high, &low2, &high2)
        addProducts(weights3[column], low, high, &low3, &high3)
        addProducts(weights4[column], low, high, &low4, &high4)
        addProducts(weights5[column], low, high, &low5, &high5)
      }
      finish(low0, high0, biasOf(first), floor, output + first * SampleGroup.size)
      finish(low1, high1, biasOf(row1), floor, output + row1 * SampleGroup.size)
      finish(low2, high2, biasOf(row2), floor, output + row2 * SampleGroup.size)
      finish(low3, high3, biasOf(row3), floor, output + row3 * SampleGroup.size)
      finish(low4, high4, biasOf(row4), floor, output + row4 * SampleGroup.size)
      finish(low5, high5, biasOf(row5), floor, output + row5 * SampleGroup.size)
      first += 6
    }
  }
}

extension DotInteraction {
  /// - Parameters:
  ///   - input: `[vectors × vectorStride × 16]`; what lies beyond `dimension` is not read.
  ///   - output: `[width × 16]`, in the order of `forward`.
  package func forwardGroup(_ input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>) {
    let dimension = dimension
    let vectorFloats = vectorStride * SampleGroup.size
    var place = output
    if keepsFirst {
      output.update(from: input, count: dimension * SampleGroup.size)
      place += dimension * SampleGroup.size
    }
    for vector in 1..<vectors {
      let mine = input + vector * vectorFloats
      let last = vector - 1
      var other = 0
      // Four products at a time, enough sums in flight to keep the multipliers busy.
      while other < vector {
        let (other1, other2, other3) = (min(other + 1, last), min(other + 2, last), min(other + 3, last))
        let values0 = input + other * vectorFloats
        let values1 = input + other1 * vectorFloats
        let values2 = input + other2 * vectorFloats
        let values3 = input + other3 * vectorFloats
        for half in stride(from: 0, to: SampleGroup.size, by: 8) {
          var sum0 = Vector(repeating: 0)
          var sum1 = sum0
          var sum2 = sum0
          var sum3 = sum0
          for column in 0..<dimension {
            let index = column * SampleGroup.size + half
            let factor = load(mine + index)
            sum0.addProduct(factor, load(values0 + index))
            sum1.addProduct(factor, load(values1 + index))
            sum2.addProduct(factor, load(values2 + index))
            sum3.addProduct(factor, load(values3 + index))
          }
          store(sum0, place + other * SampleGroup.size + half)
          store(sum1, place + other1 * SampleGroup.size + half)
          store(sum2, place + other2 * SampleGroup.size + half)
          store(sum3, place + other3 * SampleGroup.size + half)
        }
        other += 4
      }
      place += vector * SampleGroup.size
    }
  }
}

@inline(__always)
private func addProducts(
  _ weight: Float, _ low: Vector, _ high: Vector, _ lowSum: inout Vector, _ highSum: inout Vector
) {
  let factor = Vector(repeating: weight)
  lowSum.addProduct(factor, low)
  highSum.addProduct(factor, high)
}

/// Adds the bias, cuts off below `floor` and stores. A NaN stays one.
@inline(__always)
private func finish(
  _ low: Vector, _ high: Vector, _ bias: Float, _ floor: Vector, _ output: UnsafeMutablePointer<Float>
) {
  let lowSum = low + bias
  let highSum = high + bias
  store(lowSum.replacing(with: floor, where: lowSum .< floor), output)
  store(highSum.replacing(with: floor, where: highSum .< floor), output + 8)
}
