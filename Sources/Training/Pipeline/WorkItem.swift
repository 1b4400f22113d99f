import BatchStore
import Lookahead
import RowCache

/// A batch on its way through the stages, with its plan. One set of them circulates; nothing is allocated per batch.
///
/// Unchecked `Sendable`: one stage holds it at a time; channels hand it on.
final class WorkItem: @unchecked Sendable {
  let batch: Batch
  let plan: StepPlan
  /// What carrying out the plan moved; set by the prefetcher.
  var executed = ExecutedStep()

  init(layout: BatchLayout) {
    batch = Batch(layout: layout)
    plan = StepPlan(maximumUniqueRows: layout.maximumUniqueRows)
  }

  static func bytes(layout: BatchLayout) -> Int {
    layout.bytes + StepPlan.bytes(maximumUniqueRows: layout.maximumUniqueRows)
  }
}
