import Primitives

/// A stretch of the forward and backward passes that no batch-wide layer interrupts. A network without such layers has one of
/// these, and each chunk goes through all of it at once.
struct ChunkSegment: Segment {
  /// Something that a chunk does; the number is that of the layer.
  enum Action {
    case forward(Int)
    case measure(Int)
    case loss
    case measureGradients(Int)
    case backward(Int)
  }

  let actions: [Action]
  let buffers: ChunkBuffers

  /// Splits the passes of `network` at its batch-wide layers.
  static func segments(_ buffers: ChunkBuffers) -> [ChunkSegment] {
    var result: [ChunkSegment] = []
    var actions: [Action] = []
    func end(with last: Action) {
      result.append(ChunkSegment(actions: actions + [last], buffers: buffers))
      actions = []
    }
    let layers = buffers.network.batchWide
    for (index, layer) in layers.enumerated() {
      if layer != nil { end(with: .measure(index)) }
      actions.append(.forward(index))
    }
    actions.append(.loss)
    for (index, layer) in layers.enumerated().reversed() {
      if layer != nil { end(with: .measureGradients(index)) }
      actions.append(.backward(index))
    }
    result.append(ChunkSegment(actions: actions, buffers: buffers))
    return result
  }

  func taskCount(_ step: TrainingStep) -> Int { buffers.chunks.lanes(step.batch) }

  func run(_ lane: Int, worker: Int, _ step: TrainingStep) {
    let count = buffers.chunks.count(step.batch)
    for index in stride(from: lane, to: count, by: DenseModel.laneCount) {
      var pass = buffers.pass(step, chunk: index, worker: worker)
      for action in actions { perform(action, &pass, step, chunk: index) }
    }
  }

  private func perform(_ action: Action, _ pass: inout Pass, _ step: TrainingStep, chunk: Int) {
    let layers = buffers.network.layers
    switch action {
    case .forward(let layer): layers[layer].forward(pass)
    case .backward(let layer):
      pass.layer = layer
      layers[layer].backward(pass)
    case .measure(let layer): buffers.network.batchWide[layer]?.measure(pass)
    case .measureGradients(let layer): buffers.network.batchWide[layer]?.measureGradients(pass)
    case .loss:
      guard let labels = step.batch.labels, let gradient = pass.gradient(buffers.network.logit) else {
        preconditionFailure("training needs labels, and a logit that depends on a parameter")
      }
      buffers.losses.base[chunk] = binaryCrossEntropy(
        logits: pass.value(buffers.network.logit), labels: labels + pass.first,
        weights: step.batch.weights.map { $0 + pass.first }, classWeights: buffers.classWeights,
        count: pass.samples, batchSize: step.batch.sampleCount, gradients: gradient)
    }
  }

  func conclude(_ step: TrainingStep) throws(NonFinite) {
    let layers = buffers.network.batchWide
    switch actions.last {
    case .measure(let layer): layers[layer]?.conclude(buffers.batchPass(step))
    case .measureGradients(let layer):
      layers[layer]?.concludeGradients(buffers.batchPass(step))
    default: break
    }
    let hasLoss = actions.contains { if case .loss = $0 { true } else { false } }
    if hasLoss { try buffers.requireFinite(step) }
  }
}

/// What the chunks of a batch share.
struct ChunkBuffers {
  let network: Network
  let classWeights: ClassWeights
  let chunks: Chunks
  /// Parameters, their optimizer state, then the running averages.
  let parameters: AlignedBuffer<Float>
  let firstAverage: Int
  /// `[lanes × parameterCount]`.
  let laneGradients: AlignedBuffer<Float>
  /// The summed loss of each chunk.
  let losses: AlignedBuffer<Double>
  let rowGradients: AlignedBuffer<Float>
  let statistics: AlignedBuffer<Double>
  /// One for each chunk where a batch-wide layer makes them live on from segment to segment, else one for each worker.
  let arenas: [AlignedBuffer<Float>]

  func pass(_ step: TrainingStep, chunk: Int, worker: Int) -> Pass {
    let lane = chunk % DenseModel.laneCount
    let first = chunk * chunks.size
    return Pass(
      batch: step.batch, first: first, samples: min(chunks.size, step.batch.sampleCount - first),
      step: step.number, lane: lane, parameters: parameters.base,
      gradients: laneGradients.base + lane * network.parameterCount, accumulate: chunk != lane,
      rowGradients: rowGradients.base, statistics: statistics.base,
      arena: arenas[network.hasBatchWideLayers ? chunk : worker].base, places: network.training,
      rowShape: network.rowShape)
  }

  func batchPass(_ step: TrainingStep) -> BatchPass {
    BatchPass(
      sampleCount: step.batch.sampleCount, lanes: chunks.lanes(step.batch),
      parameterCount: network.parameterCount, laneGradients: laneGradients.base, statistics: statistics.base,
      averages: parameters.base + firstAverage)
  }

  /// The loss summed over the batch that just ran, in chunk order.
  func loss(_ batch: BatchInput) -> Double {
    var sum = 0.0
    for chunk in 0..<chunks.count(batch) { sum += losses.base[chunk] }
    return sum
  }

  /// Throws the first place on the way forward where a number is not finite, if the loss is not or a running average, which
  /// only predictions would show: the variance of a batch overflows before its loss does. Nothing was updated yet.
  func requireFinite(_ step: TrainingStep) throws(NonFinite) {
    let chunks = chunks.count(step.batch)
    let averages = parameters.base + firstAverage
    let broken = (0..<chunks).first { !losses.base[$0].isFinite }
    if broken == nil, areFinite(averages, network.averageCount) { return }
    // Batch-wide layers spread what one chunk has to all of them, so all are looked at; their numbers are all there.
    let suspects = network.hasBatchWideLayers ? 0..<chunks : (broken ?? 0)..<(broken ?? 0) + 1
    for (index, layer) in network.layers.enumerated() {
      let range = layer.parameterRange
      var isFinite = areFinite(parameters.base + range.lowerBound, range.count)
      var isOutputFinite = true
      for chunk in suspects where isFinite {
        let pass = pass(step, chunk: chunk, worker: 0)
        layer.forward(pass)
        isOutputFinite =
          isOutputFinite && areFinite(pass.value(layer.output), pass.samples * layer.output.width)
      }
      if let layer = network.batchWide[index] {
        isFinite = isFinite && areFinite(averages + layer.averageRange.lowerBound, layer.averageRange.count)
      }
      if isFinite, isOutputFinite { continue }
      if layer is DenseFeatures { throw NonFinite(place: .denseFeatures, isAfterUpdate: false) }
      if !isOutputFinite, let table = firstNonFiniteTable(step.batch) {
        throw NonFinite(place: .table(table), isAfterUpdate: false)
      }
      throw NonFinite(place: .layer(index, layer.name), isAfterUpdate: false)
    }
    if let weights = step.batch.weights, !areFinite(weights, step.batch.sampleCount) {
      throw NonFinite(place: .sampleWeights, isAfterUpdate: false)
    }
    throw NonFinite(place: .loss, isAfterUpdate: false)
  }

  private func firstNonFiniteTable(_ batch: BatchInput) -> Int? {
    network.shape.dimensions.indices.first { table in
      (batch.tableOffsets[table]..<batch.tableOffsets[table + 1]).contains {
        !areFinite(batch.row($0), network.rowShape.width(table))
      }
    }
  }
}
