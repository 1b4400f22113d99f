/// A place in a worker's scratch memory for one matrix of `[samples × stride]` floats.
struct ScratchMatrix: Sendable {
  let offset: Int
  let stride: Int
}

/// Hands out a worker's scratch memory once, when a network is built; each part starts on a cache line.
struct ScratchPlan {
  private(set) var floats = 0

  mutating func take(_ count: Int) -> Int {
    let offset = floats
    floats += (count + 15) & ~15
    return offset
  }

  mutating func matrix(samples: Int, stride: Int) -> ScratchMatrix {
    ScratchMatrix(offset: take(samples * stride), stride: stride)
  }
}

/// Linear layers one behind the other, with a place for the activations of each.
struct Perceptron: Sendable {
  let layers: [Linear]
  /// Where the output of each layer goes.
  private let outputs: [ScratchMatrix]

  /// - Parameters:
  ///   - sizes: outputs of each layer, at least one.
  ///   - rectifyLast: ReLU behind the last layer too; the others always have it.
  ///   - firstParameter: where the parameters of the first layer start.
  ///   - output: where the last layer writes, or nil for a place of its own.
  init(
    inputs: Int, sizes: [Int], rectifyLast: Bool, firstParameter: Int, output: ScratchMatrix?, samples: Int,
    scratch: inout ScratchPlan
  ) {
    var layers: [Linear] = []
    var outputs: [ScratchMatrix] = []
    var width = inputs
    var parameter = firstParameter
    for (index, size) in sizes.enumerated() {
      let last = index == sizes.count - 1
      let layer = Linear(
        inputs: width, outputs: size, rectified: !last || rectifyLast, firstParameter: parameter)
      layers.append(layer)
      outputs.append(
        last
          ? output ?? scratch.matrix(samples: samples, stride: size)
          : scratch.matrix(samples: samples, stride: size))
      parameter += layer.parameterCount
      width = size
    }
    self.layers = layers
    self.outputs = outputs
  }

  var parameterCount: Int { layers.reduce(0) { $0 + $1.parameterCount } }
  /// Where the last layer writes.
  var output: ScratchMatrix { outputs[outputs.count - 1] }

  func forward(
    _ parameters: UnsafePointer<Float>, input: UnsafePointer<Float>, inputStride: Int,
    scratch: UnsafeMutablePointer<Float>, samples: Int
  ) {
    var input = input
    var inputStride = inputStride
    for (layer, output) in zip(layers, outputs) {
      layer.forward(
        parameters, input: input, inputStride: inputStride, output: scratch + output.offset,
        outputStride: output.stride, samples: samples)
      input = UnsafePointer(scratch + output.offset)
      inputStride = output.stride
    }
  }

  /// The same for prediction, on one `SampleGroup`.
  /// - Parameters:
  ///   - input: `[inputs × 16]`.
  ///   - output: `[last layer's outputs × 16]`.
  ///   - turns: two places, each wide enough for every layer but the last; `input` must not lie there.
  func forwardGroup(
    _ parameters: UnsafePointer<Float>, input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>,
    turns: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>)
  ) {
    var input = input
    var (next, other) = turns
    for layer in layers.dropLast() {
      layer.forwardGroup(parameters, input: input, output: next)
      input = UnsafePointer(next)
      swap(&next, &other)
    }
    layers[layers.count - 1].forwardGroup(parameters, input: input, output: output)
  }

  /// Back through all layers; the gradients of the activations take turns in two matrices.
  ///
  /// - Parameters:
  ///   - outputGradient: gradient by the last output, overwritten; not in `turns`.
  ///   - turns: two places, each wide enough for every layer's input.
  /// - Returns: the gradient by the input, with the input's stride; it lies in one of `turns`.
  func backward(
    _ parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, accumulate: Bool,
    input: UnsafePointer<Float>, inputStride: Int, outputGradient: UnsafeMutablePointer<Float>,
    outputGradientStride: Int, turns: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>),
    scratch: UnsafeMutablePointer<Float>, samples: Int
  ) -> UnsafeMutablePointer<Float> {
    let (gradient, stride, free) = backwardToFirst(
      parameters, gradients: gradients, accumulate: accumulate, outputGradient: outputGradient,
      outputGradientStride: outputGradientStride, turns: turns, scratch: scratch, samples: samples)
    layers[0].backward(
      parameters, gradients: gradients, accumulate: accumulate, input: input, inputStride: inputStride,
      output: scratch + outputs[0].offset, outputStride: outputs[0].stride, outputGradient: gradient,
      outputGradientStride: stride, inputGradient: free, inputGradientStride: inputStride, samples: samples)
    return free
  }

  /// The same where the input is data and needs no gradient.
  func backwardToParameters(
    _ parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, accumulate: Bool,
    input: UnsafePointer<Float>, inputStride: Int, outputGradient: UnsafeMutablePointer<Float>,
    outputGradientStride: Int, turns: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>),
    scratch: UnsafeMutablePointer<Float>, samples: Int
  ) {
    let (gradient, stride, _) = backwardToFirst(
      parameters, gradients: gradients, accumulate: accumulate, outputGradient: outputGradient,
      outputGradientStride: outputGradientStride, turns: turns, scratch: scratch, samples: samples)
    layers[0].backward(
      parameters, gradients: gradients, accumulate: accumulate, input: input, inputStride: inputStride,
      output: scratch + outputs[0].offset, outputStride: outputs[0].stride, outputGradient: gradient,
      outputGradientStride: stride, inputGradient: nil, inputGradientStride: 0, samples: samples)
  }

  /// All layers but the first. Returns the gradient by the first layer's output, its stride, and the free place.
  private func backwardToFirst(
    _ parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>, accumulate: Bool,
    outputGradient: UnsafeMutablePointer<Float>, outputGradientStride: Int,
    turns: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>),
    scratch: UnsafeMutablePointer<Float>, samples: Int
  ) -> (UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>) {
    var gradient = outputGradient
    var stride = outputGradientStride
    var (free, other) = turns
    for index in layers.indices.dropFirst().reversed() {
      let source = outputs[index - 1]
      let output = outputs[index]
      layers[index].backward(
        parameters, gradients: gradients, accumulate: accumulate, input: scratch + source.offset,
        inputStride: source.stride, output: scratch + output.offset, outputStride: output.stride,
        outputGradient: gradient, outputGradientStride: stride, inputGradient: free,
        inputGradientStride: source.stride, samples: samples)
      gradient = free
      stride = source.stride
      swap(&free, &other)
    }
    return (gradient, stride, free)
  }
}
