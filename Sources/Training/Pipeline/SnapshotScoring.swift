import BatchStore
import Lookahead
import Models
import Primitives
import RowCache
import TableStore

/// Scores batches with the rows of one snapshot, through the planner, prefetcher and cache of training in read-only mode.
///
/// - Parameters:
///   - needs: with `trains` false.
///   - plan: a plan of these needs; the cache is made here and goes with the return.
///   - network: has the dense parameters.
///   - decode: fills the batch of each step in turn; false at the end. Called on a thread of its own.
///   - body: gets each batch with its predictions, `batch.sampleCount` of them, in order.
func scoreBatches(
  _ snapshot: Snapshot, layout: RowLayout, needs: MemoryNeeds, plan: MemoryPlan, network: DenseModel,
  decode: @escaping PrefetchPipeline.Decode, _ body: (Batch, UnsafeMutablePointer<Float>) throws -> Void
) throws {
  let cache = RowCache(layout: layout, cacheRows: plan.cacheRows, overlayRows: 0)
  let scores = AlignedBuffer<Float>(count: needs.batchLayout.maximumSamples)
  // Used on the pipeline's prefetcher thread only.
  nonisolated(unsafe) let source = snapshot
  let pipeline = try PrefetchPipeline(
    configuration: needs.planner(plan), layout: needs.batchLayout, steps: 0..<Int.max, cache: cache,
    decode: decode, makeSource: { source })
  defer { pipeline.shutDown() }
  while let item = try pipeline.next() {
    let input = BatchInput(
      item.batch, rows: cache.rows.base, rowFloats: layout.rowFloats, slots: item.plan.slots.base)
    network.predict(input, into: scores.base)
    try body(item.batch, scores.base)
    try pipeline.finish(item)
  }
}
