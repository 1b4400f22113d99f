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
  /// A byte for each task: whether it left a parameter that is not finite.
  let failures: AlignedBuffer<UInt8>

  /// Parameters that one task takes: eight lanes of 32 KiB stay in a core's second-level cache.
  static let rangeSize = 8_192

  static func taskCount(parameterCount: Int) -> Int { (parameterCount + rangeSize - 1) / rangeSize }

  func taskCount(_ step: TrainingStep) -> Int { Self.taskCount(parameterCount: network.parameterCount) }

  func run(_ task: Int, worker: Int, _ step: TrainingStep) {
    let first = task * Self.rangeSize
    let end = min(network.parameterCount, first + Self.rangeSize)
    // Clipping leaves the sum of all lanes in lane 0.
    let isFinite = DenseStep(
      optimizer, step: step.number, learningRateFactor: step.learningRateFactor,
      gradientScale: clipping?.scale ?? 1
    ).apply(
      to: parameters.base, lanes: laneGradients.base,
      laneCount: clipping == nil ? chunks.lanes(step.batch) : 1, parameterCount: network.parameterCount,
      range: first..<end)
    failures.base[task] = isFinite ? 0 : 1
  }

  func conclude(_ step: TrainingStep) throws(NonFinite) {
    if !(0..<taskCount(step)).contains(where: { failures.base[$0] != 0 }) { return }
    for (index, layer) in network.layers.enumerated()
    where !areFinite(parameters.base + layer.parameterRange.lowerBound, layer.parameterRange.count) {
      throw NonFinite(place: .layer(index, layer.name), isAfterUpdate: true)
    }
  }
}
