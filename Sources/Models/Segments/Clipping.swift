import Primitives

/// Clips gradients by their global norm: dense parameters and rows together, each row by its summed gradient. As
/// torch.nn.utils.clip_grad_norm_, before L2 is added: gradients times min(1, norm / (their norm + 1e-6)).
///
/// It reads every gradient once before any is used, so with clipping the dense gradients are summed in a pass of their own,
/// and those of the rows are summed twice.
struct Clipping {
  /// The largest norm.
  let norm: Float
  let parameterCount: Int
  /// `[lanes × parameterCount]`; the sum ends in lane 0.
  let laneGradients: AlignedBuffer<Float>
  let chunks: Chunks
  let rowGradients: RowGradients
  /// The squared norm of each task's gradients, then the factor.
  let squares: AlignedBuffer<Double>

  /// What to multiply gradients by.
  var scale: Float { Float(squares.base[0]) }

  /// Tasks beside those of the rows.
  static func denseTasks(parameterCount: Int) -> Int {
    DenseUpdate.taskCount(parameterCount: parameterCount)
  }
}

extension Clipping: Segment {
  private var denseTasks: Int { Self.denseTasks(parameterCount: parameterCount) }

  func taskCount(_ step: TrainingStep) -> Int {
    denseTasks + RowUpdate.taskCount(uniqueRows: step.batch.uniqueCount)
  }

  func run(_ task: Int, worker: Int, _ step: TrainingStep) {
    var total = 0.0
    if task < denseTasks {
      let first = task * DenseUpdate.rangeSize
      let lanes = laneGradients.base
      let laneCount = chunks.lanes(step.batch)
      forEachVector(min(DenseUpdate.rangeSize, parameterCount - first)) { offset, count in
        let index = first + offset
        var sum = load(lanes + index, count)
        for lane in 1..<max(1, laneCount) { sum += load(lanes + lane * parameterCount + index, count) }
        store(sum, lanes + index, count)
        total += Double(laneSum(sum * sum))
      }
    } else {
      let first = (task - denseTasks) * RowUpdate.rangeSize
      let range = first..<min(step.batch.uniqueCount, first + RowUpdate.rangeSize)
      rowGradients.forEachSum(range, step.batch) { _, width, sum in
        total += Double(sumOfSquares(sum, width))
      }
    }
    squares.base[task + 1] = total
  }

  func conclude(_ step: TrainingStep) throws(NonFinite) {
    var total = 0.0
    for task in 0..<taskCount(step) { total += squares.base[task + 1] }
    squares.base[0] = min(1, Double(norm) / (total.squareRoot() + 1e-6))
  }
}
