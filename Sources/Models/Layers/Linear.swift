package import Primitives

/// A fully connected layer, y = x Wᵀ + b, with ReLU behind it if `rectified`.
///
/// It owns no memory: weights, gradients and activations are places in buffers of the caller. W is `[outputs × inputs]`
/// row-major as in torch.nn.Linear and starts at `firstParameter`; b `[outputs]` follows it.
package struct Linear: Sendable {
  package let inputs: Int
  package let outputs: Int
  package let rectified: Bool
  package let firstParameter: Int

  package init(inputs: Int, outputs: Int, rectified: Bool, firstParameter: Int) {
    self.inputs = inputs
    self.outputs = outputs
    self.rectified = rectified
    self.firstParameter = firstParameter
  }

  package var parameterCount: Int { outputs * inputs + outputs }
  private var firstBias: Int { firstParameter + outputs * inputs }

  /// Draws W from N(0, sqrt(2 / (inputs + outputs))) and b from N(0, sqrt(1 / outputs)), given as standard deviations, as
  /// `create_mlp` of facebookresearch/dlrm does.
  package func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    let weightDeviation = (2 / Double(inputs + outputs)).squareRoot()
    let biasDeviation = (1 / Double(outputs)).squareRoot()
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
    let bias = parameters + firstBias
    if outputs == 1 {
      dotRows(input, inputStride, weights, inputs, into: output, outputStride, samples: samples)
    } else {
      BLAS.multiplyTransposed(
        input, inputStride, weights, inputs, into: output, outputStride, rows: samples, columns: outputs,
        inner: inputs)
    }
    addBias(bias, rectified: rectified, to: output, outputStride, samples: samples, columns: outputs)
  }

  /// Adds (or, on the first chunk of a lane, writes) the gradients of W and b, and gives the gradient of the input.
  ///
  /// - Parameters:
  ///   - output: what `forward` wrote.
  ///   - outputGradient: gradient of the loss by `output`; becomes the gradient before ReLU.
  ///   - gradients: laid out as the parameters.
  ///   - inputGradient: where to write it, or nil where nobody asks.
  package func backward(
    _ parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, accumulate: Bool,
    input: UnsafePointer<Float>, inputStride: Int, output: UnsafePointer<Float>, outputStride: Int,
    outputGradient: UnsafeMutablePointer<Float>, outputGradientStride: Int,
    inputGradient: UnsafeMutablePointer<Float>?, inputGradientStride: Int, samples: Int
  ) {
    let weights = parameters + firstParameter
    if rectified {
      maskByActivation(
        outputGradient, outputGradientStride, output, outputStride, samples: samples, columns: outputs)
    }
    sumColumns(
      outputGradient, outputGradientStride, into: gradients + firstBias, accumulate: accumulate,
      samples: samples,
      columns: outputs)
    if outputs == 1 {
      weightRows(
        input, inputStride, outputGradient, outputGradientStride, into: gradients + firstParameter,
        accumulate: accumulate, samples: samples, columns: inputs)
      if let inputGradient {
        outerProduct(
          outputGradient, outputGradientStride, weights, inputs, into: inputGradient, inputGradientStride,
          samples: samples)
      }
      return
    }
    BLAS.transposedMultiply(
      outputGradient, outputGradientStride, input, inputStride, into: gradients + firstParameter, inputs,
      rows: outputs, columns: inputs, inner: samples, accumulate: accumulate)
    if let inputGradient {
      BLAS.multiply(
        outputGradient, outputGradientStride, weights, inputs, into: inputGradient, inputGradientStride,
        rows: samples, columns: inputs, inner: outputs)
    }
  }
}
