public import Lookahead
public import Primitives

/// What one step moved.
public struct ExecutedStep: Equatable, Sendable {
  public var evictedRows = 0
  public var overlayRows = 0
  public var initialRows = 0
  public var blockRows = 0
  /// Distinct blocks looked up.
  public var blocks = 0

  public init() {}

  init(promisedBy plan: StepPlan) {
    evictedRows = plan.evictedCount
    overlayRows = plan.overlayCount
    initialRows = plan.initialCount
    blockRows = plan.blockRowCount
    blocks = plan.blockCount
  }

  public var fetchedRows: Int { overlayRows + initialRows + blockRows }
}

/// The rows in memory: an arena of slots that batches read and train, and the overlay of evicted rows that are newer
/// than their block. It decides nothing; it carries out what the planner decided.
///
/// Memory: `rowBytes` a slot, for cache and overlay alike.
///
/// Unchecked `Sendable`: the prefetcher calls `evict` and `fetch`, the trainer reads and writes the slots of the batch in training
/// and calls `freeze`. The plan keeps them apart: a step touches only slots that no batch in flight uses, and the
/// trainer freezes only while the prefetcher waits for it.
public final class RowCache: @unchecked Sendable {
  public let layout: RowLayout
  /// [cacheRows × rowFloats]
  public let rows: AlignedBuffer<Float>
  /// [overlayRows × rowFloats]
  private let overlay: AlignedBuffer<Float>

  public init(layout: RowLayout, cacheRows: Int, overlayRows: Int) {
    self.layout = layout
    rows = AlignedBuffer(count: cacheRows * layout.rowFloats)
    overlay = AlignedBuffer(count: overlayRows * layout.rowFloats)
  }

  /// Carries out the first part of a plan step: rows leave for the overlay, others come back from there. What is fetched
  /// afterwards may use their slots.
  ///
  /// - Parameter executed: counts what was moved, here and not in the plan.
  public func evict(_ plan: StepPlan, counting executed: inout ExecutedStep) {
    let floats = layout.rowFloats
    let rows = rows.base
    let overlay = overlay.base
    for index in 0..<plan.evictedCount {
      let place = plan.evictedTo.base[index]
      executed.evictedRows += 1
      if place == StepPlan.discarded { continue }
      let slot = Int(plan.evictedSlots.base[index])
      (overlay + Int(place) * floats).update(from: rows + slot * floats, count: floats)
    }
    for index in 0..<plan.overlayCount {
      let slot = Int(plan.overlaySlots.base[index])
      (rows + slot * floats).update(
        from: overlay + Int(plan.overlayFrom.base[index]) * floats, count: floats)
      executed.overlayRows += 1
    }
  }

  /// Carries out the rest of a plan step: rows get their initial values or come from their blocks.
  ///
  /// - Parameter executed: what `evict` counted; now the counts of the whole step.
  /// - Throws: what `source` throws, and `.broken` if the run counts something else than the plan promised.
  public func fetch(
    _ plan: StepPlan, from source: any RowSource, counting executed: inout ExecutedStep
  ) throws {
    let floats = layout.rowFloats
    let rows = rows.base
    for index in 0..<plan.initialCount {
      let key = plan.initialKeys.base[index]
      layout.fillInitial(
        table: key.table, row: key.row, into: rows + Int(plan.initialSlots.base[index]) * floats)
      executed.initialRows += 1
    }
    if plan.blockRowCount > 0 {
      executed.blocks = try source.fetch(
        keys: plan.blockRowKeys.base, count: plan.blockRowCount, slots: plan.blockRowSlots.base, rows: rows)
      executed.blockRows = plan.blockRowCount
    }
    guard executed == ExecutedStep(promisedBy: plan) else {
      throw ChanterError(
        .broken, "step \(plan.step) did \(executed) where \(ExecutedStep(promisedBy: plan)) was planned")
    }
  }

  /// Copies every row of a commit to `frozen` ([commitRows × rowFloats], in the order of `plan.keys`), split over the
  /// workers. The rows may change again as soon as it returns.
  public func freeze(_ plan: FreezePlan, into frozen: AlignedBuffer<Float>, workers: WorkerPool) {
    let floats = layout.rowFloats
    let rows = rows.base
    let overlay = overlay.base
    let target = frozen.base
    let places = plan.places.base
    let share = 4096
    workers.run((plan.count + share - 1) / share) { task, _ in
      for index in task * share..<min(plan.count, (task + 1) * share) {
        let place = places[index]
        let isInOverlay = place & FreezePlan.overlayFlag != 0
        let source =
          isInOverlay ? overlay + Int(place ^ FreezePlan.overlayFlag) * floats : rows + Int(place) * floats
        (target + index * floats).update(from: source, count: floats)
      }
    }
  }
}
