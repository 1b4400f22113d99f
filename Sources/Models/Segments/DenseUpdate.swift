import Primitives

/// The end of the dense part of a step: the lanes' gradients are added, and each parameter changes once.
struct DenseUpdate: Segment {
  let optimizer: DenseOptimizer
  let clipping: Clipping?
  let chunks: Chunks
  let network: Network
  let parameters: AlignedBuffer<Float>
  /// `[lanes × parameterCount]`.
  let laneGradients: AlignedBuffer<Float>

  /// Parameters that one task takes: eight lanes of 32 KiB stay in a core's second-level cache.
  static let rangeSize = 8_192

  func taskCount(_ step: TrainingStep) -> Int {
    (network.parameterCount + Self.rangeSize - 1) / Self.rangeSize
  }

  func run(_ task: Int, worker: Int, _ step: TrainingStep) {
    let first = task * Self.rangeSize
    // Clipping leaves the sum of all lanes in lane 0.
    DenseStep(
      optimizer, step: step.number, learningRateFactor: step.learningRateFactor,
      gradientScale: clipping?.scale ?? 1
    ).apply(
      to: parameters.base, lanes: laneGradients.base,
      laneCount: clipping == nil ? chunks.lanes(step.batch) : 1, parameterCount: network.parameterCount,
      range: first..<min(network.parameterCount, first + Self.rangeSize))
  }

  func conclude(_ step: TrainingStep) throws(NonFinite) {
    if areFinite(parameters.base, network.parameterCount) { return }
    for (index, layer) in network.layers.enumerated()
    where !areFinite(parameters.base + layer.parameterRange.lowerBound, layer.parameterRange.count) {
      throw NonFinite(place: .layer(index, layer.name), isAfterUpdate: true)
    }
  }
}
