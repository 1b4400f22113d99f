import BatchStore
import Foundation
import Lookahead
import Models
import Primitives
import TableStore

@testable import Training

/// Runs the trainers on a dataset piece by piece, as separate processes would.
struct Harness {
  let dataset: Dataset
  let setup: TrainingSetup
  let configuration: Configuration
  let needs: MemoryNeeds
  let plan: MemoryPlan

  /// - Parameter extraRows: what the cache has beyond the least for the configured lookahead; overlay and commits get
  ///   some room, too, so that rows come back from all of overlay, blocks and initial values.
  init(_ path: String, _ configuration: Configuration, commitInterval: Int = 64, extraRows: Int = 40) throws {
    dataset = try Dataset(opening: path)
    self.configuration = configuration
    setup = try TrainingSetup(dataset: dataset, configuration: configuration)
    needs = setup.memoryNeeds(run: configuration.run, commitInterval: commitInterval)
    let lookahead = configuration.run.lookahead
    let unique = setup.batchLayout.maximumUniqueRows
    plan = MemoryPlan(
      budget: 0, lookahead: lookahead, cacheRows: needs.largestUnion(lookahead) + extraRows,
      overlayRows: PlannerConfiguration.leastOverlayRows(lookahead: lookahead, maximumUniqueRows: unique)
        + 10 * extraRows,
      commitRows: 4 * unique, compactionBlocks: 64,
      validationBytes: needs.validation?.bytes.lowerBound ?? 0, split: [])
  }

  /// Trains out of core from the model's last commit (or from nothing) to `end`.
  @discardableResult
  func train(
    _ model: String, until end: Int, stop: StopSignal = StopSignal(), directAbove: Int? = nil,
    nextUses: ((Int, Batch) -> Void)? = nil, observer: StepObserver? = nil
  ) throws -> RunCounters {
    let workers = WorkerPool(threadCount: setup.threads)
    let session = try ModelSession(
      path: model, header: ModelHeader(configuration: configuration, dataset: dataset), setup: setup,
      workers: workers, compactionBlocks: plan.compactionBlocks, stop: StopSignal())
    let controller = TrainingController(setup, state: session.state)
    try controller.record(
      in: model, keepsBest: configuration.run.keepsBest, memory: plan.validationBytes, { _ in })
    let trainer = OutOfCoreTrainer(
      store: session.store, network: session.network,
      controller: controller, workers: workers, memory: plan,
      needs: needs, directAbove: directAbove,
      makeDecode: {
        let decode = try decode(dataset)
        nonisolated(unsafe) let nextUses = nextUses
        return { step, batch in
          let isThere = try decode(step, batch)
          nextUses?(step, batch)
          return isThere
        }
      })
    let meter = RunMeter(endStep: end, batchesPerEpoch: dataset.manifest.train.batches, display: { _ in })
    try trainer.run(session.cursor..<end, stop: stop, meter: meter, observer: observer)
    return meter.counters
  }

  /// The plain trainer's digest after `end` batches.
  func plainDigest(_ end: Int) throws -> String {
    let workers = WorkerPool(threadCount: 1)
    let trainer = try InMemoryTrainer(
      layout: setup.rowLayout, network: setup.makeNetwork(workers: workers),
      controller: TrainingController(setup), reader: dataset.reader(.train))
    try trainer.run(
      0..<end, store: nil, commitInterval: 64, compactionBlocks: 1, stop: StopSignal(),
      meter: RunMeter(endStep: end, batchesPerEpoch: end, display: { _ in }), observer: nil)
    return trainer.digest(cursor: end)
  }

  static func digest(_ model: String) throws -> String {
    try Snapshot(ModelStore.openForReading(at: model)).digest()
  }

  static func cursor(_ model: String) throws -> Int {
    Int(try ModelStore.openForReading(at: model).readState().cursor)
  }
}
