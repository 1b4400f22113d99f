import Models
import Primitives
import Testing

@Suite("Optimizers against their formulas")
struct OptimizerTests {
  @Test("rows: every dimension, weights and state", arguments: 1...70)
  func rows(dimension: Int) {
    let gradient = randomFloats(dimension, seed: UInt64(dimension))
    let weights = randomFloats(dimension, seed: UInt64(dimension) + 100)
    let guardValue: Float = 42
    let slope = AlignedBuffer<Float>(count: dimension + 8)
    func apply(_ optimizer: RowOptimizer, _ row: AlignedBuffer<Float>) {
      slope.base.update(from: gradient, count: dimension)
      RowStep(optimizer, step: 0).apply(
        row: row.base, gradient: slope.base, width: dimension, dimension: dimension)
    }
    let plain = AlignedBuffer(weights + [guardValue])
    apply(RowOptimizer(.sgd, learningRate: 0.5), plain)
    #expect(plain.array == zip(weights, gradient).map { $0 - $1 * 0.5 } + [guardValue])

    let row = AlignedBuffer(weights + [0.25, guardValue])
    let optimizer = RowOptimizer(.rowwiseAdagrad, learningRate: 0.1, epsilon: 1e-3)
    var state = 0.25
    var expected = weights.map(Double.init)
    for _ in 0..<3 {
      apply(optimizer, row)
      state += gradient.reduce(0) { $0 + Double($1) * Double($1) } / Double(dimension)
      for column in 0..<dimension {
        expected[column] -= 0.1 * Double(gradient[column]) / (state.squareRoot() + 1e-3)
      }
    }
    #expect(largestError(Array(row.array.prefix(dimension + 1)), expected + [state]) < 1e-6)
    #expect(row[dimension + 1] == guardValue)
  }

  @Test("dense: lanes added in order; where a range begins does not matter", arguments: [1, 3, 8])
  func dense(lanes: Int) {
    let count = 53
    let gradients = AlignedBuffer(randomFloats(lanes * count, seed: 6))
    let start = randomFloats(count, seed: 7)
    let sums = (0..<count).map { index in
      (1..<max(1, lanes)).reduce(gradients[index]) { $0 + gradients[$1 * count + index] }
    }
    for optimizer in [
      DenseOptimizer(.sgd, learningRate: 0.1), DenseOptimizer(.adagrad, learningRate: 0.1, epsilon: 1e-2),
    ] {
      let whole = AlignedBuffer(start + Array(repeating: 0.5, count: optimizer.stateFloats * count))
      let parts = AlignedBuffer(whole.array)
      let step = DenseStep(optimizer, step: 0)
      func apply(_ values: AlignedBuffer<Float>, _ range: Range<Int>) -> Bool {
        step.apply(
          to: values.base, lanes: gradients.base, laneCount: lanes, parameterCount: count, range: range)
      }
      #expect(apply(whole, 0..<count))
      for range in [0..<1, 1..<20, 20..<23, 23..<53] { #expect(apply(parts, range)) }
      #expect(whole.array == parts.array)
      let expected = zip(start, sums).map { weight, gradient in
        switch optimizer.rule {
        case .sgd: weight - gradient * 0.1
        default: weight - gradient * 0.1 / ((0.5 + gradient * gradient).squareRoot() + 1e-2)
        }
      }
      #expect(Array(whole.array.prefix(count)) == expected)
      if optimizer.stateFloats == 1 {
        #expect(Array(whole.array.suffix(count)) == sums.map { 0.5 + $0 * $0 })
      }
      for index in [0, 31, 32, 52] {
        let damaged = AlignedBuffer(whole.array)
        damaged[index] = index == 31 ? .infinity : .nan
        #expect(apply(damaged, 0..<index))
        #expect(!apply(damaged, 0..<count), "parameter \(index)")
      }
    }
  }
}
