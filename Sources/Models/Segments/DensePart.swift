import Primitives

/// The dense part of a step: each chunk of the batch forward and backward, then the dense optimizer.
///
/// Chunk c belongs to lane c % 8 and a task is a lane: its chunks run in order and add to the lane's own gradients. The
/// lanes are added in lane order at the end. Neither depends on the thread count.
struct DensePart: Segment {
  let network: any Network
  let optimizer: DenseOptimizer
  let chunkSize: Int
  let parameterCount: Int
  let parameters: AlignedBuffer<Float>
  /// `[lanes × parameterCount]`.
  let laneGradients: AlignedBuffer<Float>
  /// The summed loss of each chunk.
  let losses: AlignedBuffer<Double>
  /// `[samples × tables × padded dimension]`.
  let rowGradients: AlignedBuffer<Float>
  /// One for each worker.
  let scratch: [AlignedBuffer<Float>]

  /// Parameters that one task of the reduction takes: eight lanes of 32 KiB stay in a core's second-level cache.
  private static let rangeSize = 8_192

  private func chunkCount(_ batch: BatchInput) -> Int { (batch.sampleCount + chunkSize - 1) / chunkSize }

  func taskCount(_ batch: BatchInput) -> Int { min(DenseModel.laneCount, chunkCount(batch)) }

  func run(_ lane: Int, worker: Int, _ batch: BatchInput) {
    let gradients = laneGradients.base + lane * parameterCount
    for index in stride(from: lane, to: chunkCount(batch), by: DenseModel.laneCount) {
      let first = index * chunkSize
      let chunk = Chunk(batch: batch, first: first, count: min(chunkSize, batch.sampleCount - first))
      losses.base[index] = network.train(
        chunk, parameters: parameters.base, gradients: gradients, accumulate: index != lane,
        rowGradients: rowGradients.base, scratch: scratch[worker].base)
    }
  }

  func reduce(_ batch: BatchInput, _ workers: WorkerPool) {
    let lanes = taskCount(batch)
    let ranges = (parameterCount + Self.rangeSize - 1) / Self.rangeSize
    workers.run(ranges) { task, _ in
      let first = task * Self.rangeSize
      optimizer.apply(
        to: parameters.base, lanes: laneGradients.base, laneCount: lanes, parameterCount: parameterCount,
        range: first..<min(parameterCount, first + Self.rangeSize))
    }
  }

  /// The loss summed over the batch that just ran, in chunk order.
  func loss(_ batch: BatchInput) -> Double {
    var sum = 0.0
    for chunk in 0..<chunkCount(batch) { sum += losses.base[chunk] }
    return sum
  }
}
