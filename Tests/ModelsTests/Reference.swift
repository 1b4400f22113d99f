import Models
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

// The layers once more, plain, slow and in double precision.

func referenceLinear(
  _ input: [Double], weights: [Double], bias: [Double], rectified: Bool
) -> [Double] {
  bias.indices.map { output in
    var sum = bias[output]
    for column in input.indices { sum += weights[output * input.count + column] * input[column] }
    return rectified ? max(0, sum) : sum
  }
}

/// The dense vector, then the products of each vector with those before it.
func referenceInteraction(_ vectors: [[Double]]) -> [Double] {
  var output = vectors[0]
  for first in vectors.indices {
    for second in 0..<first {
      output.append(zip(vectors[first], vectors[second]).reduce(0) { $0 + $1.0 * $1.1 })
    }
  }
  return output
}

func referenceLoss(logit: Double, label: Double) -> Double {
  max(logit, 0) - logit * label + log(1 + exp(-abs(logit)))
}

/// The logit of one sample; parameters as `DenseModel` lays them out.
func referenceLogit(
  _ configuration: DLRMShape, parameters: [Double], dense: [Double], embeddings: [[Double]]
) -> Double {
  var place = 0
  func layer(_ input: [Double], _ outputs: Int, rectified: Bool) -> [Double] {
    let weights = Array(parameters[place..<place + outputs * input.count])
    place += weights.count
    let bias = Array(parameters[place..<place + outputs])
    place += outputs
    return referenceLinear(input, weights: weights, bias: bias, rectified: rectified)
  }
  var values = dense
  for size in configuration.bottom { values = layer(values, size, rectified: true) }
  values = referenceInteraction([values] + embeddings)
  for (index, size) in configuration.top.enumerated() {
    values = layer(values, size, rectified: index < configuration.top.count - 1)
  }
  return values[0]
}

func exactExponential(_ x: Double) -> Double { exp(x) }
func exactTangent(_ x: Double) -> Double { tanh(x) }

/// Central differences of `function` at `point`, one per variable.
func finiteDifferences(_ point: [Double], _ function: ([Double]) -> Double) -> [Double] {
  let step = 1e-5
  var moved = point
  return point.indices.map { index in
    moved[index] = point[index] + step
    let above = function(moved)
    moved[index] = point[index] - step
    let below = function(moved)
    moved[index] = point[index]
    return (above - below) / (2 * step)
  }
}

/// Seeded numbers in -1 ..< 1, of which a Float holds every bit.
func randomFloats(_ count: Int, seed: UInt64) -> [Float] {
  let random = CounterRandom(seed: seed, stream: 77)
  return (0..<count).map { Float(random.bits(UInt64($0)) >> 40) * 0x1p-23 - 1 }
}

/// The largest |a - b| / max(1, |b|).
func largestError(_ values: [Float], _ expected: [Double]) -> Double {
  guard values.count == expected.count else { return .infinity }
  var largest = 0.0
  for (value, expected) in zip(values, expected) {
    let error = abs(Double(value) - expected) / max(1, abs(expected))
    if !(error <= largest) { largest = error }
  }
  return largest
}

extension AlignedBuffer where Element == Float {
  convenience init(_ values: [Float]) {
    self.init(count: values.count)
    for (index, value) in values.enumerated() { self[index] = value }
  }

  var array: [Float] { Array(prefix()) }
}
