/// Segments that do not need each other's results, without a barrier between them: the tasks of the second follow those of the
/// first and fill the time in which some workers have none left.
struct JoinedSegments: Segment {
  let first: any Segment
  let second: any Segment

  func taskCount(_ step: TrainingStep) -> Int { first.taskCount(step) + second.taskCount(step) }

  func run(_ task: Int, worker: Int, _ step: TrainingStep) {
    let count = first.taskCount(step)
    if task < count {
      first.run(task, worker: worker, step)
    } else {
      second.run(task - count, worker: worker, step)
    }
  }

  func conclude(_ step: TrainingStep) throws(NonFinite) {
    try first.conclude(step)
    try second.conclude(step)
  }
}
