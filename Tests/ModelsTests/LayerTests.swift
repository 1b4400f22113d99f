import Models
import Primitives
import Testing

@Suite("Layers against plain references and finite differences")
struct LayerTests {
  @Test(
    "linear layer: output and all gradients",
    arguments: [
      (1, 1, 1), (3, 13, 1), (5, 7, 2), (9, 8, 8), (4, 70, 1), (2, 3, 6), (2, 3, 7), (6, 33, 41), (2, 16, 64),
      (17, 5, 39), (9, 13, 32), (5, 1, 16), (3, 14, 16), (20, 9, 48), (4, 15, 16),
    ], [true, false])
  func linear(shape: (samples: Int, inputs: Int, outputs: Int), rectified: Bool) {
    let (samples, inputs, outputs) = shape
    let seed = UInt64(samples * 10_000 + inputs * 100 + outputs)
    let layer = Linear(inputs: inputs, outputs: outputs, rectified: rectified, firstParameter: 3)
    let parameters = AlignedBuffer(randomFloats(3 + layer.parameterCount, seed: seed))
    // Strides beyond the widths, because activations lie in wider rows.
    let inputStride = inputs + 3
    let outputStride = outputs + 2
    let input = AlignedBuffer(randomFloats(samples * inputStride, seed: seed + 1))
    let output = AlignedBuffer<Float>(count: samples * outputStride)
    layer.forward(
      parameters.base, input: input.base, inputStride: inputStride, output: output.base,
      outputStride: outputStride, samples: samples)

    let values = parameters.array.dropFirst(3).map(Double.init)
    func reference(_ values: [Double], _ inputs: [Double], _ width: Int) -> [Double] {
      (0..<samples).flatMap { sample in
        referenceLinear(
          Array(inputs[sample * width..<(sample + 1) * width]),
          weights: Array(values.prefix(width * outputs)),
          bias: Array(values.suffix(outputs)), rectified: rectified)
      }
    }
    func dense(_ buffer: AlignedBuffer<Float>, _ stride: Int, _ width: Int) -> [Float] {
      (0..<samples).flatMap { sample in (0..<width).map { buffer[sample * stride + $0] } }
    }
    let points = dense(input, inputStride, inputs).map(Double.init)
    #expect(largestError(dense(output, outputStride, outputs), reference(values, points, inputs)) < 1e-5)

    // For prediction: samples side by side, and places that hold no sample may hold anything.
    let size = SampleGroup.size
    let groupInput = AlignedBuffer<Float>(Array(repeating: .nan, count: inputs * size))
    let groupOutput = AlignedBuffer<Float>(count: outputs * size)
    let used = min(samples, size)
    for sample in 0..<used {
      for column in 0..<inputs { groupInput[column * size + sample] = input[sample * inputStride + column] }
    }
    layer.forwardGroup(parameters.base, input: groupInput.base, output: groupOutput.base)
    let grouped = (0..<used).flatMap { sample in (0..<outputs).map { groupOutput[$0 * size + sample] } }
    #expect(
      largestError(grouped, Array(reference(values, points, inputs).prefix(used * outputs))) < 1e-5)

    // The loss is a random weighting of the outputs; its gradient by the outputs is the weights.
    let weighting = randomFloats(samples * outputs, seed: seed + 2)
    func loss(_ values: [Double], _ points: [Double]) -> Double {
      zip(reference(values, points, inputs), weighting).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    let outputGradient = AlignedBuffer(weighting)
    let inputGradient = AlignedBuffer<Float>(count: samples * inputStride)
    let gradients = AlignedBuffer<Float>(Array(repeating: 7, count: 3 + layer.parameterCount))
    layer.backward(
      parameters.base, gradients: gradients.base, accumulate: false, input: input.base,
      inputStride: inputStride,
      output: output.base, outputStride: outputStride, outputGradient: outputGradient.base,
      outputGradientStride: outputs, inputGradient: inputGradient.base, inputGradientStride: inputStride,
      samples: samples)
    let byParameters = finiteDifferences(values) { loss($0, points) }
    let byInput = finiteDifferences(points) { loss(values, $0) }
    #expect(gradients.array.prefix(3) == [7, 7, 7])
    #expect(largestError(Array(gradients.array.dropFirst(3)), byParameters) < 2e-5)
    #expect(largestError(dense(inputGradient, inputStride, inputs), byInput) < 2e-5)

    // A second chunk of a lane adds to the first.
    let again = AlignedBuffer(weighting)
    layer.backward(
      parameters.base, gradients: gradients.base, accumulate: true, input: input.base,
      inputStride: inputStride,
      output: output.base, outputStride: outputStride, outputGradient: again.base,
      outputGradientStride: outputs,
      inputGradient: nil, inputGradientStride: 0, samples: samples)
    #expect(largestError(Array(gradients.array.dropFirst(3)), byParameters.map { 2 * $0 }) < 4e-5)
  }

  @Test(
    "dot interaction: output and gradients",
    arguments: [1, 2, 3, 7, 8, 9, 15, 16, 17, 32, 33, 48, 64, 70, 128])
  func interaction(dimension: Int) {
    for vectors in [2, 3, 5, 8, 9, 12, 27] where vectors < 10 || dimension < 20 || dimension == 48 {
      let samples = 3
      let layer = DotInteraction(vectors: vectors, dimension: dimension)
      let seed = UInt64(dimension * 100 + vectors)
      let points = randomFloats(samples * vectors * dimension, seed: seed)
      let input = AlignedBuffer<Float>(count: samples * layer.sampleStride)
      for sample in 0..<samples {
        for vector in 0..<vectors {
          for column in 0..<dimension {
            input[sample * layer.sampleStride + vector * layer.vectorStride + column] =
              points[(sample * vectors + vector) * dimension + column]
          }
        }
      }
      let scratch = AlignedBuffer<Float>(count: layer.scratchFloats)
      let output = AlignedBuffer<Float>(count: samples * layer.width + 8)
      for sample in 0..<samples {
        layer.forward(
          input.base + sample * layer.sampleStride, output: output.base + sample * layer.width,
          scratch: scratch.base)
      }
      let size = SampleGroup.size
      let groupInput = AlignedBuffer<Float>(Array(repeating: .nan, count: layer.sampleStride * size))
      let groupOutput = AlignedBuffer<Float>(count: layer.width * size)
      for sample in 0..<samples {
        for index in 0..<vectors * dimension {
          let place = index / dimension * layer.vectorStride + index % dimension
          groupInput[place * size + sample] = points[sample * vectors * dimension + index]
        }
      }
      layer.forwardGroup(groupInput.base, output: groupOutput.base)
      for sample in 0..<samples {
        // The same order of the same operations: training and prediction agree to the bit here.
        let same = (0..<layer.width).allSatisfy {
          groupOutput[$0 * size + sample] == output[sample * layer.width + $0]
        }
        #expect(same, "\(vectors) vectors")
      }
      // Whatever lies behind the last gradient must not matter.
      let weighting = randomFloats(samples * layer.width, seed: seed + 1)
      let outputGradient = AlignedBuffer<Float>(weighting + Array(repeating: .nan, count: 8))
      let gradients = AlignedBuffer<Float>(Array(repeating: .nan, count: samples * layer.sampleStride))
      for sample in 0..<samples {
        layer.backward(
          input.base + sample * layer.sampleStride,
          outputGradient: outputGradient.base + sample * layer.width,
          gradient: gradients.base + sample * layer.sampleStride)
      }

      for sample in 0..<samples {
        let mine = (0..<vectors).map { vector in
          (0..<dimension).map { Double(points[(sample * vectors + vector) * dimension + $0]) }
        }
        let row = (0..<layer.width).map { output[sample * layer.width + $0] }
        #expect(largestError(row, referenceInteraction(mine)) < 1e-5, "\(vectors) vectors")
        // The gradient of a sum of products is known in closed form; finite differences check that form below.
        let weights = (0..<layer.width).map { Double(weighting[sample * layer.width + $0]) }
        let expected = interactionGradient(mine, weights)
        for vector in 0..<vectors {
          let first = sample * layer.sampleStride + vector * layer.vectorStride
          let gradient = (0..<dimension).map { gradients[first + $0] }
          #expect(largestError(gradient, expected[vector]) < 2e-5, "vector \(vector) of \(vectors)")
          #expect((dimension..<layer.vectorStride).allSatisfy { gradients[first + $0] == 0 })
        }
        if vectors * dimension < 60 {
          let differences = finiteDifferences(mine.flatMap { $0 }) { flat in
            let vectors = mine.indices.map { Array(flat[$0 * dimension..<($0 + 1) * dimension]) }
            return zip(referenceInteraction(vectors), weights).reduce(0) { $0 + $1.0 * $1.1 }
          }
          let errors = zip(differences, expected.flatMap { $0 }).map { abs($0 - $1) }
          #expect(errors.allSatisfy { $0 < 1e-8 })
        }
      }
    }
  }

  private func interactionGradient(_ vectors: [[Double]], _ weights: [Double]) -> [[Double]] {
    let dimension = vectors[0].count
    var gradient = vectors.map { $0.map { _ in 0.0 } }
    for column in 0..<dimension { gradient[0][column] = weights[column] }
    var place = dimension
    for first in vectors.indices {
      for second in 0..<first {
        for column in 0..<dimension {
          gradient[first][column] += weights[place] * vectors[second][column]
          gradient[second][column] += weights[place] * vectors[first][column]
        }
        place += 1
      }
    }
    return gradient
  }

  @Test("binary cross entropy: sum and gradient, logits that overflow an exponential included")
  func loss() {
    let logits = AlignedBuffer<Float>([0, 1, -1, 3.5, -7.25, 20, -20, 500, -500])
    for label: Float in [0, 1] {
      let labels = AlignedBuffer<Float>(Array(repeating: label, count: logits.count))
      let gradients = AlignedBuffer<Float>(count: logits.count)
      let sum = binaryCrossEntropy(
        logits: logits.base, labels: labels.base, count: logits.count, batchSize: 4, gradients: gradients.base
      )
      let expected = logits.array.map { referenceLoss(logit: Double($0), label: Double(label)) }
      #expect(abs(sum - expected.reduce(0, +)) < 1e-9)
      let differences = finiteDifferences(logits.array.map(Double.init)) { points in
        points.reduce(0) { $0 + referenceLoss(logit: $1, label: Double(label)) } / 4
      }
      #expect(largestError(gradients.array, differences) < 1e-6)
    }
    #expect(sigmoid(0) == 0.5)
    #expect(sigmoid(200) == 1)
    #expect(sigmoid(-200) < 1e-30)
  }

  @Test("initial weights have the deviations of create_mlp and are the same for the same seed")
  func initialization() {
    let layer = Linear(inputs: 120, outputs: 80, rectified: true, firstParameter: 0)
    let first = AlignedBuffer<Float>(count: layer.parameterCount)
    let second = AlignedBuffer<Float>(count: layer.parameterCount)
    layer.initialize(first.base, random: CounterRandom(seed: 4, stream: 2))
    layer.initialize(second.base, random: CounterRandom(seed: 4, stream: 2))
    #expect(first.array == second.array)
    func deviation(_ values: ArraySlice<Float>) -> Double {
      (values.reduce(0) { $0 + Double($1) * Double($1) } / Double(values.count)).squareRoot()
    }
    #expect(abs(deviation(first.array.prefix(9_600)) / 0.1 - 1) < 0.05)
    #expect(abs(deviation(first.array.suffix(80)) / (1 / 80.0).squareRoot() - 1) < 0.3)
  }
}
