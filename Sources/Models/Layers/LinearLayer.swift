import Primitives

extension NetworkBuilder {
  /// y = x Wᵀ + b, with ReLU behind it if `rectified` (which costs less than an activation of its own). W starts as N(0, sqrt(2
  /// / (inputs + outputs))), given as standard deviation.
  package func linear(_ input: Value, outputs: Int, bias: Linear.Bias = .zero, rectified: Bool = false)
    -> Value
  {
    let size = Linear(
      inputs: input.width, outputs: outputs, bias: bias, rectified: rectified, firstParameter: 0)
    return add(
      LinearLayer(
        input: input, output: makeValue(width: outputs, needsGradient: true),
        linear: Linear(
          inputs: input.width, outputs: outputs, bias: bias, rectified: rectified,
          firstParameter: takeParameters(size.parameterCount))))
  }
}

/// A fully connected layer, with or without ReLU.
struct LinearLayer: Layer {
  let input: Value
  let output: Value
  let linear: Linear

  var name: String { "linear layer of \(linear.inputs) to \(linear.outputs)" }
  var inputs: [Value] { [input] }
  var parameterRange: Range<Int> {
    linear.firstParameter..<linear.firstParameter + linear.parameterCount
  }

  var tensors: [LayerTensor] {
    let weight = LayerTensor("weight", [linear.outputs, linear.inputs], at: linear.firstParameter)
    let first = linear.firstParameter + linear.outputs * linear.inputs
    return linear.bias == .none ? [weight] : [weight, LayerTensor("bias", [linear.outputs], at: first)]
  }

  func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    linear.initialize(parameters, random: random)
  }

  func forward(_ pass: Pass) {
    linear.forward(
      pass.parameters, input: pass.value(input), inputStride: input.width, output: pass.value(output),
      outputStride: output.width, samples: pass.samples)
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    linear.backward(
      pass.parameters, gradients: pass.gradients, accumulate: pass.accumulate, input: pass.value(input),
      inputStride: input.width, output: pass.value(output), outputStride: output.width,
      outputGradient: gradient, outputGradientStride: output.width, inputGradient: pass.gradient(input),
      inputGradientStride: input.width, addsInputGradient: pass.addsGradient(input), samples: pass.samples)
  }

  func score(_ pass: ScorePass) {
    linear.forwardGroup(pass.parameters, input: pass.value(input), output: pass.value(output))
  }
}
