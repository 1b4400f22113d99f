/// DLRM's dense part: bottom MLP, dot interaction, top MLP, as `dlrm_s_pytorch.py` of facebookresearch/dlrm computes it.
struct DLRM: Network {
  let dimension: Int
  let scratchFloats: Int
  private let denseCount: Int
  private let tableCount: Int
  private let bottom: Perceptron
  private let interaction: DotInteraction
  private let top: Perceptron

  // Scratch: the dense features of a padded chunk; the vectors that interact, the bottom's output first; the
  // interaction's output; gradients of activations in turns; the gradient of the bottom's output and of the logits.
  private let dense: ScratchMatrix
  private let vectors: ScratchMatrix
  private let interacted: ScratchMatrix
  private let interactionScratch: Int
  private let turns: (Int, Int)
  private let bottomGradient: ScratchMatrix
  private let logitGradient: ScratchMatrix

  /// - Parameter samples: most samples of a chunk, at least `DenseModel.inferenceChunk`.
  init(_ configuration: DLRMConfiguration, samples: Int) {
    var plan = ScratchPlan()
    dimension = configuration.dimension
    denseCount = configuration.denseCount
    tableCount = configuration.tableCount
    interaction = DotInteraction(vectors: tableCount + 1, dimension: dimension)
    dense = plan.matrix(samples: samples, stride: denseCount)
    vectors = plan.matrix(samples: samples, stride: interaction.sampleStride)
    interacted = plan.matrix(samples: samples, stride: interaction.outputStride)
    interactionScratch = plan.take(interaction.scratchFloats)
    bottom = Perceptron(
      inputs: denseCount, sizes: configuration.bottom, rectifyLast: true, firstParameter: 0, output: vectors,
      samples: samples, scratch: &plan)
    top = Perceptron(
      inputs: interaction.width, sizes: configuration.top, rectifyLast: false,
      firstParameter: bottom.parameterCount, output: nil, samples: samples, scratch: &plan)
    let widest = (configuration.bottom + configuration.top).reduce(interaction.outputStride, max)
    turns = (plan.take(samples * widest), plan.take(samples * widest))
    bottomGradient = plan.matrix(samples: samples, stride: dimension)
    logitGradient = plan.matrix(samples: samples, stride: 1)
    scratchFloats = plan.floats
  }

  var layers: [Linear] { bottom.layers + top.layers }

  private func forward(
    parameters: UnsafePointer<Float>, dense: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>,
    samples: Int
  ) {
    bottom.forward(parameters, input: dense, inputStride: denseCount, scratch: scratch, samples: samples)
    interaction.forward(
      scratch + vectors.offset, output: scratch + interacted.offset, scratch: scratch + interactionScratch,
      samples: samples)
    top.forward(
      parameters, input: scratch + interacted.offset, inputStride: interacted.stride, scratch: scratch,
      samples: samples)
  }

  func train(
    _ chunk: Chunk, parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>,
    accumulate: Bool,
    rowGradients: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) -> Double {
    guard let labels = chunk.batch.labels else { preconditionFailure("training needs labels") }
    let samples = chunk.count
    let denseInput = chunk.batch.dense + chunk.first * denseCount
    gather(chunk, scratch)
    forward(parameters: parameters, dense: denseInput, scratch: scratch, samples: samples)
    let loss = binaryCrossEntropy(
      logits: scratch + top.output.offset, labels: labels + chunk.first, count: samples,
      batchSize: chunk.batch.sampleCount, gradients: scratch + logitGradient.offset)
    let turns = (scratch + turns.0, scratch + turns.1)
    let interactedGradient = top.backward(
      parameters, gradients: gradients, accumulate: accumulate, input: scratch + interacted.offset,
      inputStride: interacted.stride, outputGradient: scratch + logitGradient.offset, outputGradientStride: 1,
      turns: turns, scratch: scratch, samples: samples)
    interaction.backward(
      scratch + vectors.offset, outputGradient: interactedGradient,
      denseGradient: scratch + bottomGradient.offset,
      denseGradientStride: bottomGradient.stride,
      rowGradients: rowGradients + chunk.first * tableCount * interaction.vectorStride,
      scratch: scratch + interactionScratch, samples: samples)
    bottom.backwardToParameters(
      parameters, gradients: gradients, accumulate: accumulate, input: denseInput, inputStride: denseCount,
      outputGradient: scratch + bottomGradient.offset, outputGradientStride: bottomGradient.stride,
      turns: turns,
      scratch: scratch, samples: samples)
    return loss
  }

  func score(
    _ chunk: Chunk, parameters: UnsafePointer<Float>, scores: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let padding = DenseModel.inferenceChunk - chunk.count
    let denseInput = scratch + dense.offset
    denseInput.update(from: chunk.batch.dense + chunk.first * denseCount, count: chunk.count * denseCount)
    (denseInput + chunk.count * denseCount).update(repeating: 0, count: padding * denseCount)
    gather(chunk, scratch)
    (scratch + vectors.offset + chunk.count * vectors.stride).update(
      repeating: 0, count: padding * vectors.stride)
    forward(parameters: parameters, dense: denseInput, scratch: scratch, samples: DenseModel.inferenceChunk)
    let logits = scratch + top.output.offset
    for sample in 0..<chunk.count { scores[chunk.first + sample] = sigmoid(logits[sample]) }
  }

  /// The rows of a chunk to their places behind the bottom's output.
  private func gather(_ chunk: Chunk, _ scratch: UnsafeMutablePointer<Float>) {
    gatherRows(
      chunk, tables: tableCount, dimension: dimension,
      into: scratch + vectors.offset + interaction.vectorStride, sampleStride: interaction.sampleStride,
      vectorStride: interaction.vectorStride)
  }
}
