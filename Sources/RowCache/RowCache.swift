public import Lookahead
public import Primitives

/// The rows in memory: an arena of slots that batches read and train, and the overlay of evicted rows that are newer
/// than their block. It decides nothing; it carries out what the planner decided.
///
/// Memory: `rowBytes` a slot, for cache and overlay alike.
///
/// Unchecked `Sendable`: the prefetcher calls `execute`, the trainer reads and writes the slots of the batch in training
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

  public static func bytes(layout: RowLayout, cacheRows: Int, overlayRows: Int) -> Int {
    (cacheRows + overlayRows) * layout.rowBytes
  }

  /// Carries out one plan step: evictions first, since the fetches may use their slots.
  ///
  /// - Throws: what `source` throws, and `.broken` if the run counts other blocks than the plan promised.
  public func execute(_ plan: StepPlan, from source: any RowSource) throws {
    let floats = layout.rowFloats
    let rows = rows.base
    let overlay = overlay.base
    for index in 0..<plan.evictedCount {
      let place = plan.evictedTo.base[index]
      if place == StepPlan.discarded { continue }
      let slot = Int(plan.evictedSlots.base[index])
      (overlay + Int(place) * floats).update(from: rows + slot * floats, count: floats)
    }
    for index in 0..<plan.overlayCount {
      let slot = Int(plan.overlaySlots.base[index])
      (rows + slot * floats).update(
        from: overlay + Int(plan.overlayFrom.base[index]) * floats, count: floats)
    }
    for index in 0..<plan.initialCount {
      let key = plan.initialKeys.base[index]
      layout.fillInitial(
        table: key.table, row: key.row, into: rows + Int(plan.initialSlots.base[index]) * floats)
    }
    guard plan.blockRowCount > 0 else { return }
    let blocks = try source.fetch(
      keys: plan.blockRowKeys.base, count: plan.blockRowCount, slots: plan.blockRowSlots.base, rows: rows)
    guard blocks == plan.blockCount else {
      throw ChanterError(
        .broken, "step \(plan.step) looked up \(blocks) blocks where \(plan.blockCount) were planned")
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
