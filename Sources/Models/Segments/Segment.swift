import Primitives

/// One stretch of a training step between two barriers: tasks that run independently on the compute workers, then a
/// reduction over the whole batch that ends it.
///
/// A task's result depends on its number and the batch only, never on the worker or on when it runs; that makes a step
/// the same for every thread count. `worker` picks scratch memory and nothing else.
protocol Segment {
  func taskCount(_ batch: BatchInput) -> Int
  func run(_ task: Int, worker: Int, _ batch: BatchInput)
  func reduce(_ batch: BatchInput, _ workers: WorkerPool)
}
