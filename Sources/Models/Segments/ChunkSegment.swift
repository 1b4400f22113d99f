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
    let layers = buffers.network.layers
    for (index, layer) in layers.enumerated() {
      if layer is any BatchWideLayer { end(with: .measure(index)) }
      actions.append(.forward(index))
    }
    actions.append(.loss)
    for (index, layer) in layers.enumerated().reversed() {
      if layer is any BatchWideLayer { end(with: .measureGradients(index)) }
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
    case .measure(let layer): (layers[layer] as? any BatchWideLayer)?.measure(pass)
    case .measureGradients(let layer): (layers[layer] as? any BatchWideLayer)?.measureGradients(pass)
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
    let layers = buffers.network.layers
    switch actions.last {
    case .measure(let layer): (layers[layer] as? any BatchWideLayer)?.conclude(buffers.batchPass(step))
    case .measureGradients(let layer):
      (layers[layer] as? any BatchWideLayer)?.concludeGradients(buffers.batchPass(step))
    default: break
    }
    let hasLoss = actions.contains { if case .loss = $0 { true } else { false } }
    if hasLoss { try buffers.requireFiniteLoss(step) }
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

  /// Throws the first place on the way forward of the first chunk whose loss is not finite. Nothing was updated yet.
  func requireFiniteLoss(_ step: TrainingStep) throws(NonFinite) {
    guard let chunk = (0..<chunks.count(step.batch)).first(where: { !losses.base[$0].isFinite }) else {
      return
    }
    let pass = pass(step, chunk: chunk, worker: 0)
    for (index, layer) in network.layers.enumerated() {
      let range = layer.parameterRange
      if !areFinite(parameters.base + range.lowerBound, range.count) {
        throw NonFinite(place: .layer(index, layer.name), isAfterUpdate: false)
      }
      layer.forward(pass)
      if areFinite(pass.value(layer.output), pass.samples * layer.output.width) { continue }
      if layer is DenseFeatures { throw NonFinite(place: .denseFeatures, isAfterUpdate: false) }
      if let table = firstNonFiniteTable(step.batch) {
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
