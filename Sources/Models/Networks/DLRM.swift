/// DLRM's dense part: bottom MLP, dot interaction, top MLP, as `dlrm_s_pytorch.py` of facebookresearch/dlrm computes it.
struct DLRM: Network {
  let dimension: Int
  let scratchFloats: Int
  private let denseCount: Int
  private let tableCount: Int
  private let bottom: Perceptron
  private let interaction: DotInteraction
  private let top: Perceptron

  // Scratch for training: the vectors that interact, the bottom's output first; the interaction's output; gradients of
  // activations in turns; the gradient of the bottom's output and of the logits.
  private let vectors: ScratchMatrix
  private let interacted: ScratchMatrix
  private let interactionScratch: Int
  private let turns: (Int, Int)
  private let bottomGradient: ScratchMatrix
  private let logitGradient: ScratchMatrix
  // Scratch for scoring one group: dense features, vectors, interaction, activations in turns, logits.
  private let group: (dense: Int, vectors: Int, interacted: Int, turns: (Int, Int), logits: Int)

  /// - Parameter samples: most samples of a training chunk; 0 for scoring only.
  init(_ configuration: DLRMConfiguration, samples: Int) {
    var plan = ScratchPlan()
    dimension = configuration.dimension
    denseCount = configuration.denseCount
    tableCount = configuration.tableCount
    interaction = DotInteraction(vectors: tableCount + 1, dimension: dimension)
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
    let size = SampleGroup.size
    let hidden = (configuration.bottom.dropLast() + configuration.top.dropLast()).reduce(0, max)
    group = (
      dense: plan.take(denseCount * size), vectors: plan.take((tableCount + 1) * dimension * size),
      interacted: plan.take(interaction.width * size),
      turns: (plan.take(hidden * size), plan.take(hidden * size)), logits: plan.take(size)
    )
    scratchFloats = plan.floats
  }

  var layers: [Linear] { bottom.layers + top.layers }

  func train(
    _ chunk: Chunk, parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>,
    accumulate: Bool,
    rowGradients: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) -> Double {
    guard let labels = chunk.batch.labels else { preconditionFailure("training needs labels") }
    let samples = chunk.count
    let denseInput = chunk.batch.dense + chunk.first * denseCount
    gatherRows(
      chunk, tables: tableCount, dimension: dimension,
      into: scratch + vectors.offset + interaction.vectorStride, sampleStride: interaction.sampleStride,
      vectorStride: interaction.vectorStride)
    bottom.forward(
      parameters, input: denseInput, inputStride: denseCount, scratch: scratch, samples: samples)
    interaction.forward(
      scratch + vectors.offset, output: scratch + interacted.offset, scratch: scratch + interactionScratch,
      samples: samples)
    top.forward(
      parameters, input: scratch + interacted.offset, inputStride: interacted.stride, scratch: scratch,
      samples: samples)
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
    let size = SampleGroup.size
    let dense = scratch + group.dense
    let vectors = scratch + group.vectors
    let interacted = scratch + group.interacted
    let logits = scratch + group.logits
    let turns = (scratch + group.turns.0, scratch + group.turns.1)
    let batch = chunk.batch
    for sample in 0..<chunk.count {
      let source = batch.dense + (chunk.first + sample) * denseCount
      for column in 0..<denseCount { dense[column * size + sample] = source[column] }
      for table in 0..<tableCount {
        let position = batch.inverse[table * batch.sampleCount + chunk.first + sample]
        let row = batch.rows + Int(batch.slots[Int(position)]) * batch.rowFloats
        let target = vectors + (table + 1) * dimension * size + sample
        for column in 0..<dimension { target[column * size] = row[column] }
      }
    }
    // Places past the last sample hold what was there before; their results are not read.
    bottom.forwardGroup(parameters, input: dense, output: vectors, turns: turns)
    interaction.forwardGroup(vectors, output: interacted)
    top.forwardGroup(parameters, input: interacted, output: logits, turns: turns)
    for sample in 0..<chunk.count { scores[chunk.first + sample] = sigmoid(logits[sample]) }
  }
}
