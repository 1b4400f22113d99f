import Primitives

/// The layers of a model and where each of them keeps its numbers. It owns no buffer: everything comes from outside, so
/// chunks run on any thread.
struct Network: Sendable {
  let shape: InputShape
  let rowShape: RowShape
  let layers: [any Layer]
  /// Per layer: itself if it is batch-wide. Asked in every chunk, so the casts, which may allocate, are made once.
  let batchWide: [(any BatchWideLayer)?]
  let hasBatchWideLayers: Bool
  let logit: Value
  let parameterCount: Int
  /// Numbers that training keeps beside the parameters: running averages.
  let averageCount: Int
  /// Numbers of a batch that batch-wide layers share.
  let statisticCount: Int
  let training: TrainingPlaces
  private let scoring: [Int]
  /// Floats of one worker's arena for prediction.
  let scoringFloats: Int

  /// - Parameter samples: most samples of a training chunk; 0 for a network that only predicts.
  init(_ configuration: NetworkConfiguration, shape: InputShape, seed: UInt64, samples: Int)
    throws(ChanterError)
  {
    try configuration.validate()
    try shape.validate()
    let builder = NetworkBuilder(shape: shape, seed: seed)
    let logit = try configuration.kind.model.logit(builder, configuration)
    self.init(builder, logit: logit, samples: samples)
  }

  init(_ builder: NetworkBuilder, logit: Value, samples: Int) {
    precondition(logit.width == 1)
    // The gradient by a result that nobody uses would be whatever the memory holds.
    let used = Set(builder.layers.flatMap(\.inputs).map(\.index))
    let idle = builder.layers.first { $0.output != logit && !used.contains($0.output.index) }
    precondition(idle == nil, "the result of \(idle?.name ?? "a layer") is not used")
    shape = builder.shape
    self.logit = logit
    rowShape = builder.rowShape
    layers = builder.layers
    batchWide = builder.layers.map { $0 as? any BatchWideLayer }
    hasBatchWideLayers = batchWide.contains { $0 != nil }
    parameterCount = builder.parameterCount
    averageCount = builder.averageCount
    statisticCount = builder.statisticCount
    training = TrainingPlaces(
      layers, values: builder.values, logit: logit, scratchFloats: builder.scratchFloats, samples: samples)
    let scoring = scoringPlaces(layers, values: builder.values, logit: logit)
    self.scoring = scoring.offsets
    scoringFloats = scoring.floats
  }

  /// Draws the parameters; each layer that has some has a stream of its own.
  func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    var stream: UInt64 = 0
    for layer in layers where !layer.parameterRange.isEmpty {
      layer.initialize(parameters, random: CounterRandom(random, stream))
      stream += 1
    }
  }

  /// Running averages start as those of a batch with mean 0 and variance 1.
  func initializeAverages(_ averages: UnsafeMutablePointer<Float>) {
    for layer in batchWide { layer?.initializeAverages(averages) }
  }

  /// Writes the probabilities of at most `SampleGroup.size` samples to `scores`, at their places in the batch. A sample's
  /// score does not depend on the samples beside it.
  func score(
    _ batch: BatchInput, first: Int, samples: Int, parameters: UnsafePointer<Float>,
    averages: UnsafePointer<Float>, arena: UnsafeMutablePointer<Float>, scores: UnsafeMutablePointer<Float>
  ) {
    let pass = ScorePass(
      batch: batch, first: first, samples: samples, parameters: parameters, averages: averages, arena: arena,
      places: scoring, rowShape: rowShape)
    for layer in layers { layer.score(pass) }
    let logits = pass.value(logit)
    for sample in 0..<samples { scores[first + sample] = sigmoid(logits[sample]) }
  }
}
