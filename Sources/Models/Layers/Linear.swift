package import Primitives

/// A fully connected layer, y = x Wᵀ + b, with ReLU behind it if `rectified`, on places in buffers of the caller.
///
/// W is `[outputs × inputs]` row-major as in torch.nn.Linear and starts at `firstParameter`; b `[outputs]`, if there is
/// one, follows it.
package struct Linear: Sendable {
  package enum Bias: Sendable {
    case none
    /// Starts at zero.
    case zero
    /// Starts as N(0, sqrt(1 / outputs)), given as standard deviation, as in `create_mlp` of facebookresearch/dlrm.
    case normal
  }

  package let inputs: Int
  package let outputs: Int
  package let bias: Bias
  /// Whether ReLU stands behind the bias; not without a bias.
  package let rectified: Bool
  package let firstParameter: Int

  package init(inputs: Int, outputs: Int, bias: Bias = .normal, rectified: Bool, firstParameter: Int) {
    precondition(bias != .none || !rectified)
    self.inputs = inputs
    self.outputs = outputs
    self.bias = bias
    self.rectified = rectified
    self.firstParameter = firstParameter
  }

  package var parameterCount: Int { outputs * inputs + (bias == .none ? 0 : outputs) }
  private var firstBias: Int { firstParameter + outputs * inputs }

  /// Draws W from N(0, sqrt(2 / (inputs + outputs))), given as standard deviation (Glorot and Bengio 2010, normal form).
  package func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    let weightDeviation = (2 / Double(inputs + outputs)).squareRoot()
    let biasDeviation = bias == .normal ? (1 / Double(outputs)).squareRoot() : 0
    let weightCount = outputs * inputs
    for index in 0..<parameterCount {
      let deviation = index < weightCount ? weightDeviation : biasDeviation
      parameters[firstParameter + index] = Float(random.normal(UInt64(index)) * deviation)
    }
  }

  /// Writes the activations of `samples` samples. Strides are floats from sample to sample.
  package func forward(
    _ parameters: UnsafePointer<Float>, input: UnsafePointer<Float>, inputStride: Int,
    output: UnsafeMutablePointer<Float>, outputStride: Int, samples: Int
  ) {
    let weights = parameters + firstParameter
    if outputs == 1 {
      dotRows(input, inputStride, weights, inputs, into: output, outputStride, samples: samples)
    } else {
      BLAS.multiplyTransposed(
        input, inputStride, weights, inputs, into: output, outputStride, rows: samples, columns: outputs,
        inner: inputs)
    }
    if bias != .none {
      addBias(
        parameters + firstBias, rectified: rectified, to: output, outputStride, samples: samples,
        columns: outputs)
    }
  }

  /// Adds (or, on the first chunk of a lane, writes) the gradients of W and b, and gives the gradient of the input.
  ///
  /// - Parameters:
  ///   - output: what `forward` wrote.
  ///   - outputGradient: gradient of the loss by `output`; becomes the gradient before ReLU.
  ///   - gradients: laid out as the parameters.
  ///   - inputGradient: where to write it, or nil where nobody asks.
  ///   - addsInputGradient: add to what is there instead.
  package func backward(
    _ parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, accumulate: Bool,
    input: UnsafePointer<Float>, inputStride: Int, output: UnsafePointer<Float>, outputStride: Int,
    outputGradient: UnsafeMutablePointer<Float>, outputGradientStride: Int,
    inputGradient: UnsafeMutablePointer<Float>?, inputGradientStride: Int, addsInputGradient: Bool = false,
    samples: Int
  ) {
    let weights = parameters + firstParameter
    if rectified {
      maskAndSumColumns(
        outputGradient, outputGradientStride, output, outputStride, into: gradients + firstBias,
        accumulate: accumulate, samples: samples, columns: outputs)
    } else if bias != .none {
      sumColumns(
        outputGradient, outputGradientStride, into: gradients + firstBias, accumulate: accumulate,
        samples: samples, columns: outputs)
    }
    if outputs == 1 {
      weightRows(
        input, inputStride, outputGradient, outputGradientStride, into: gradients + firstParameter,
        accumulate: accumulate, samples: samples, columns: inputs)
      if let inputGradient {
        outerProduct(
          outputGradient, outputGradientStride, weights, inputs, into: inputGradient, inputGradientStride,
          accumulate: addsInputGradient, samples: samples)
      }
      return
    }
    BLAS.transposedMultiply(
      outputGradient, outputGradientStride, input, inputStride, into: gradients + firstParameter, inputs,
      rows: outputs, columns: inputs, inner: samples, accumulate: accumulate)
    if let inputGradient {
      BLAS.multiply(
        outputGradient, outputGradientStride, weights, inputs, into: inputGradient, inputGradientStride,
        rows: samples, columns: inputs, inner: outputs, accumulate: addsInputGradient)
    }
  }
}
