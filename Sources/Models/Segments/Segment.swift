import Primitives

/// One stretch of a training step between two barriers: tasks that run independently on the compute workers, then what
/// little has to be done alone with their results.
///
/// A task's result depends on its number and the batch only, never on the worker or on when it runs; that makes a step
/// the same for every thread count. `worker` picks scratch memory and nothing else.
protocol Segment {
  func taskCount(_ step: TrainingStep) -> Int
  func run(_ task: Int, worker: Int, _ step: TrainingStep)
  func conclude(_ step: TrainingStep) throws(NonFinite)
}

extension Segment {
  func conclude(_ step: TrainingStep) throws(NonFinite) {}
}

/// One batch to train on.
struct TrainingStep {
  let batch: BatchInput
  /// Number of the batch since training began, from 0.
  let number: Int
  /// What a schedule multiplies both learning rates by.
  let learningRateFactor: Float
}

/// How the samples of a batch are shared out: chunks of one size, of which chunk c belongs to lane c % 8. A task is a lane:
/// its chunks run in order and add to the lane's own sums; the lanes are added in lane order at the end. Neither depends
/// on the thread count.
struct Chunks {
  let size: Int

  func count(_ batch: BatchInput) -> Int { (batch.sampleCount + size - 1) / size }
  func lanes(_ batch: BatchInput) -> Int { min(DenseModel.laneCount, count(batch)) }
}
