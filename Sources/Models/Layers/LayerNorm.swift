import Primitives

extension NetworkBuilder {
  package func layerNorm(_ input: Value) -> Value {
    needScratch(2 * paddedToVector(input.width))
    return add(
      LayerNorm(
        firstParameter: takeParameters(2 * input.width), input: input,
        output: makeValue(width: input.width, needsGradient: true),
        deviations: makeValue(width: 1, needsGradient: false)))
  }
}

/// y = γ (x - mean) / sqrt(variance + 1e-5) + β over the units of each sample: Ba et al. 2016, arXiv 1607.06450, as
/// torch.nn.LayerNorm. γ starts at one and β at zero; they are the layer's parameters, in this order.
struct LayerNorm: Layer {
  let firstParameter: Int
  let input: Value
  let output: Value
  /// Per sample 1 / sqrt(variance + 1e-5).
  let deviations: Value

  static let epsilon: Float = 1e-5

  var name: String { "layer normalisation" }
  var inputs: [Value] { [input] }
  var kept: [Value] { [deviations] }
  var parameterRange: Range<Int> { firstParameter..<firstParameter + 2 * input.width }

  var tensors: [LayerTensor] {
    [
      LayerTensor("weight", [input.width], at: firstParameter),
      LayerTensor("bias", [input.width], at: firstParameter + input.width),
    ]
  }

  func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    (parameters + firstParameter).update(repeating: 1, count: input.width)
    (parameters + firstParameter + input.width).update(repeating: 0, count: input.width)
  }

  func forward(_ pass: Pass) {
    let width = input.width
    let gain = pass.parameters + firstParameter
    let shift = gain + width
    let deviations = pass.value(deviations)
    for sample in 0..<pass.samples {
      let x = pass.value(input) + sample * width
      let y = pass.value(output) + sample * width
      let mean = total(width) { column, lanes in load(x + column, lanes) } / Float(width)
      let variance =
        total(width) { column, lanes in
          let part = difference(x, column, lanes, mean)
          return part * part
        } / Float(width)
      let inverse = 1 / (variance + Self.epsilon).squareRoot()
      deviations[sample] = inverse
      forEachVector(width) { column, lanes in
        let part = (load(x + column, lanes) - mean) * inverse
        store(part * load(gain + column, lanes) + load(shift + column, lanes), y + column, lanes)
      }
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let width = input.width
    let gain = pass.parameters + firstParameter
    let gainGradient = pass.gradients + firstParameter
    if !pass.accumulate { gainGradient.update(repeating: 0, count: 2 * width) }
    let shiftGradient = gainGradient + width
    let deviations = pass.value(deviations)
    // x once more as it was normalised, and the gradient by it.
    let normal = pass.scratch
    let slope = normal + paddedToVector(width)
    for sample in 0..<pass.samples {
      let x = pass.value(input) + sample * width
      let g = gradient + sample * width
      let inverse = deviations[sample]
      let mean = total(width) { column, lanes in load(x + column, lanes) } / Float(width)
      forEachVector(width) { column, lanes in
        let part = difference(x, column, lanes, mean) * inverse
        let own = load(g + column, lanes)
        store(part, normal + column)
        store(own * load(gain + column, lanes), slope + column)
        store(load(gainGradient + column, lanes) + own * part, gainGradient + column, lanes)
        store(load(shiftGradient + column, lanes) + own, shiftGradient + column, lanes)
      }
      guard let inputGradient = pass.gradient(input) else { continue }
      let target = inputGradient + sample * width
      let adds = pass.addsGradient(input)
      let mean1 = total(width) { column, _ in load(slope + column) } / Float(width)
      let mean2 = total(width) { column, _ in load(slope + column) * load(normal + column) } / Float(width)
      forEachVector(width) { column, lanes in
        let part = (load(slope + column) - mean1 - load(normal + column) * mean2) * inverse
        store(adds ? load(target + column, lanes) + part : part, target + column, lanes)
      }
    }
  }

  /// Σ of `body`, whose lanes past the width are zero.
  @inline(__always)
  private func total(_ width: Int, _ body: (Int, Int) -> Vector) -> Float {
    var sum = Vector(repeating: 0)
    forEachVector(width) { column, lanes in sum += body(column, lanes) }
    return laneSum(sum)
  }

  /// x - mean, and zero past the width.
  @inline(__always)
  private func difference(_ x: UnsafePointer<Float>, _ column: Int, _ lanes: Int, _ mean: Float) -> Vector {
    var part = load(x + column, lanes) - mean
    for lane in lanes..<8 { part[lane] = 0 }
    return part
  }

  func score(_ pass: ScorePass) {
    let width = input.width
    let size = SampleGroup.size
    let gain = pass.parameters + firstParameter
    let shift = gain + width
    for half in stride(from: 0, to: size, by: 8) {
      let x = pass.value(input) + half
      let y = pass.value(output) + half
      var mean = Vector(repeating: 0)
      for column in 0..<width { mean += load(x + column * size) }
      mean /= Float(width)
      var variance = Vector(repeating: 0)
      for column in 0..<width {
        let part = load(x + column * size) - mean
        variance += part * part
      }
      let inverse = 1 / (variance / Float(width) + Self.epsilon).squareRoot()
      for column in 0..<width {
        let part = (load(x + column * size) - mean) * inverse
        store(part * gain[column] + shift[column], y + column * size)
      }
    }
  }
}
