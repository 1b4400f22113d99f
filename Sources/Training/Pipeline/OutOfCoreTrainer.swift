import BatchStore
import Lookahead
import Models
import Primitives
import RowCache
import TableStore

/// Trains with the rows on disk and a fixed-size cache of them in memory.
final class OutOfCoreTrainer {
  private let store: ModelStore
  private let network: DenseModel
  private let workers: WorkerPool
  private let memory: MemoryPlan
  private let planner: PlannerConfiguration
  private let batchLayout: BatchLayout
  private let controller: TrainingController
  private let directAbove: Int?
  private let makeDecode: () throws -> PrefetchPipeline.Decode

  /// - Parameter directAbove: bytes of the model's file beyond which rows are read past the system's cache; nil for
  ///   the store's own choice.
  init(
    store: ModelStore, network: DenseModel, controller: TrainingController, workers: WorkerPool,
    memory: MemoryPlan, needs: MemoryNeeds, directAbove: Int? = nil,
    makeDecode: @escaping () throws -> PrefetchPipeline.Decode
  ) {
    self.store = store
    self.directAbove = directAbove
    self.network = network
    self.controller = controller
    self.workers = workers
    self.memory = memory
    planner = needs.planner(memory)
    batchLayout = needs.batchLayout
    self.makeDecode = makeDecode
  }

  /// Trains `steps` (or fewer, when `stop` is requested or a validation ends training) and commits at the end.
  func run(_ steps: Range<Int>, stop: StopSignal, meter: RunMeter, observer: StepObserver?) throws {
    let store = store
    // A run that was killed before it had validated its last commit does so first.
    if controller.isDue(at: steps.lowerBound) {
      guard try validate(at: steps.lowerBound, stop: stop) else { return }
      _ = try DenseRecord.with(network.parameterBytes, controller.state) {
        try store.commit(dense: $0, cursor: UInt64(steps.lowerBound))
      }
    }
    if steps.isEmpty || controller.state.isStopped { return }
    let cache = RowCache(layout: store.layout, cacheRows: memory.cacheRows, overlayRows: memory.overlayRows)
    let uniqueRows = batchLayout.maximumUniqueRows
    let directAbove = directAbove
    let pipeline = try PrefetchPipeline(
      configuration: planner, layout: batchLayout, steps: steps, cache: cache, decode: makeDecode(),
      makeSource: { try store.makeFetcher(maximumRows: uniqueRows, directAbove: directAbove) })
    defer { pipeline.shutDown() }
    let writer = CommitWriter(
      store: store, commitRows: memory.commitRows, compactionBlocks: memory.compactionBlocks,
      denseRecordBytes: DenseRecord.byteCount(parameterBytes: network.parameterBytes.count),
      committed: { try pipeline.recycle($0) }, compacted: { pipeline.compacted(through: $0) },
      failed: { pipeline.fail($0) })
    defer { writer.shutDown() }

    meter.begin()
    func commit(_ freeze: FreezePlan) throws {
      // The plan names the places of the rows as they are after this step; the next one waits for this batch.
      try pipeline.waitUntilExecuted(freeze.executedStep)
      try writer.waitUntilIdle()
      cache.freeze(freeze, into: writer.frozen, workers: workers)
      writeRecord(into: writer.dense)
      writer.submit(freeze)
    }

    // By a validation; batches that were read ahead are then dropped.
    var hasEnded = false
    while let item = try pipeline.next(stalls: &meter.stalls) {
      let batch = item.batch
      let step = item.plan.step
      let input = BatchInput(
        batch, rows: cache.rows.base, rowFloats: store.layout.rowFloats, slots: item.plan.slots.base)
      let loss = try controller.train(network, input, step: step, tables: store.layout.tables)
      try observer?(
        TrainedStep(step: item.plan.step, batch: batch, input: input, parameters: network.parameterBytes))
      if item.plan.commitsAfter {
        // The places of the rows are known once the planner is H - 1 batches on, which may itself wait for a compaction.
        try meter.waitingForCommit {
          guard let freeze = try pipeline.freezes.receive(), freeze.step == item.plan.step else {
            throw ChanterError(.broken, "the commit after batch \(item.plan.step) has no freeze plan")
          }
          try commit(freeze)
        }
      }
      meter.count(item.executed, uniqueRows: batch.uniqueCount, samples: batch.sampleCount, loss: loss)
      if controller.isDue(at: step + 1) {
        try meter.waitingForCommit { try writer.waitUntilIdle() }
        hasEnded = try !validate(at: step + 1, stop: stop)
        if hasEnded { break }
        writeRecord(into: writer.dense)
        writer.submitRecord(cursor: step + 1)
        try meter.waitingForCommit { try writer.waitUntilIdle() }
        hasEnded = controller.state.isStopped
        if hasEnded { break }
      }
      try pipeline.finish(item)
      meter.report(step: step, writer: writer.totals)
      if stop.isRequested { pipeline.stop() }
    }
    while !hasEnded, let freeze = try pipeline.freezes.receive() {
      try meter.waitingForCommit { try commit(freeze) }
    }
    // A run that reaches its end counts whole compactions, as its plan does; one that is stopped ends at its commit.
    if stop.isRequested { try writer.waitUntilIdle() } else { try writer.waitUntilCompacted() }
    meter.count(writer.totals)
  }

  private func writeRecord(into record: AlignedBuffer<UInt8>) {
    DenseRecord.write(
      network.parameterBytes, controller.state, into: UnsafeMutableRawBufferPointer(record.prefix()))
  }

  /// Scores the validation split with the last commit's rows; the dense parameters are those of the network, which stands
  /// still.
  /// - Returns: false if `stop` ended it.
  private func validate(at cursor: Int, stop: StopSignal) throws -> Bool {
    guard let validation = controller.validation else { return true }
    let needs = validation.needs(store.layout)
    let plan = try needs.plan(budget: memory.validationBytes, wantedLookahead: Validation.lookahead)
    return try controller.validate(cursor: cursor, store: store, stop: stop) { body in
      let snapshot = try Snapshot(store)
      try scoreBatches(
        snapshot, layout: store.layout, needs: needs, plan: plan, network: network,
        decode: validation.makeDecode()
      ) { try body($0, UnsafePointer($1)) }
    }
  }
}

/// What an observer sees after each trained batch, before its rows may move.
struct TrainedStep {
  let step: Int
  let batch: Batch
  let input: BatchInput
  let parameters: UnsafeRawBufferPointer
}

typealias StepObserver = (TrainedStep) throws -> Void

extension BatchInput {
  /// A decoded batch with its rows at `slots`.
  init(_ batch: Batch, rows: UnsafeMutablePointer<Float>, rowFloats: Int, slots: UnsafePointer<UInt32>) {
    self.init(
      sampleCount: batch.sampleCount, dense: batch.dense.base, labels: batch.labels.base,
      weights: batch.layout.shape.hasWeights ? batch.weights.base : nil, uniqueCount: batch.uniqueCount,
      tableOffsets: batch.tableOffsets.base, entryOffsets: batch.entryOffsets.base,
      inverse: batch.inverse.base, bagOffsets: batch.bagOffsets.base, rows: rows, rowFloats: rowFloats,
      slots: slots)
  }
}
