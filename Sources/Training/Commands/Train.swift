import BatchStore
import Foundation
import Lookahead
import Models
import Primitives
import TableStore

/// One training run: from nothing, or from a model's last commit.
public struct TrainingRequest {
  public var datasetPath: String
  public var modelPath: String
  public var configuration: Configuration
  /// Bytes that the run may take; required unless `isInMemory`.
  public var memory: Int?
  /// Every row in memory and one batch after the other: the plain trainer that the other one must equal.
  public var isInMemory = false
  /// Batches from one commit to the next, at absolute batch numbers. Default 64.
  public var commitInterval = 64
  /// The model whose weights a new one begins with; nil for random ones. See `WarmStart`.
  public var origin: String?
  public var stop = StopSignal()
  /// Called before the first batch, with what the run will do.
  public var started: (RunStart) -> Void = { _ in }
  public var progressed: (RunProgress) -> Void = { _ in }
  /// Called during a validation with the samples scored so far and in all.
  public var scored: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  /// Called after each validation.
  public var validated: (ValidationOutcome) -> Void = { _ in }

  public init(datasetPath: String, modelPath: String, configuration: Configuration, memory: Int?) {
    self.datasetPath = datasetPath
    self.modelPath = modelPath
    self.configuration = configuration
    self.memory = memory
  }
}

/// What a run is about to do.
public struct RunStart: Sendable {
  public let firstStep: Int
  public let endStep: Int
  public let batchesPerEpoch: Int
  public let threads: Int
  /// Nil for an in-memory run.
  public let memory: MemoryPlan?
  /// How the machine differs from the one that the model was made on; results are bit-exact on one kind of machine.
  public let machineDifference: String?
  /// What the model has just taken from another one; nil without, and when a run goes on.
  public let warmStart: WarmStartReport?
}

extension TrainingRequest {
  /// Trains until the wanted epochs are done or `stop` is requested; either way the last commit holds everything trained.
  ///
  /// - Throws: `.budget` below the least memory, naming it; `.mismatch` for a model of another dataset or configuration,
  ///   naming the difference; what the stores throw.
  public func run() throws -> RunSummary {
    let dataset = try Dataset(opening: datasetPath)
    let setup = try TrainingSetup(dataset: dataset, configuration: configuration)
    var needs = setup.memoryNeeds(run: configuration.run, commitInterval: commitInterval)
    let plan = try planMemory(needs, setup)

    let batches = dataset.manifest.train.batches
    let end = try configuration.run.endStep(batchesPerEpoch: batches)
    let header = ModelHeader(configuration: configuration, dataset: dataset, isWarmStarted: origin != nil)
    let workers = WorkerPool(threadCount: setup.threads)
    let compactionBlocks = plan?.compactionBlocks ?? MemoryNeeds.mostCompactionBlocks
    let session = try ModelSession(
      path: modelPath, header: header, setup: setup, workers: workers,
      origin: try makeOrigin(
        memory: plan.map { WarmStart.memory(of: $0.budget, beside: setup) } ?? WarmStart.defaultMemory),
      compactionBlocks: compactionBlocks,
      stop: stop)
    // Rows that this data uses for the first time may be stored already.
    if session.header.isWarmStarted { needs.trustsFirstTouchBefore = 0 }
    let store = session.store
    let network = session.network
    let first = session.cursor
    let controller = TrainingController(setup, state: session.state)
    try controller.record(
      in: modelPath, keepsBest: configuration.run.keepsBest,
      memory: plan?.validationBytes ?? needs.validation?.bytes.upperBound ?? 0, scored: scored, validated)

    let meter = RunMeter(endStep: end, batchesPerEpoch: batches, display: progressed)
    func summary(_ ending: RunSummary.End, _ last: Int) -> RunSummary {
      RunSummary(
        end: ending, progress: meter.progress(step: last - 1), memory: plan,
        best: controller.state.bestAt > 0 ? (controller.state.bestAt, controller.state.bestValue) : nil)
    }
    guard first <= end else {
      throw ChanterError(
        .mismatch,
        "the model was trained for \(first) batches, more than the \(end) wanted; give"
          + " \(configuration.run.flags(for: first, batchesPerEpoch: batches)) or more", path: modelPath)
    }
    if controller.state.isStopped { return summary(.stoppedEarly, first) }
    if first == end, !controller.isDue(at: first) { return summary(.alreadyFinished, first) }
    if stop.isRequested { return summary(.interrupted, first) }
    started(
      RunStart(
        firstStep: first, endStep: end, batchesPerEpoch: batches, threads: setup.threads, memory: plan,
        machineDifference: session.header.machine.difference(from: header.machine),
        warmStart: session.warmStart))
    if let plan {
      let trainer = OutOfCoreTrainer(
        store: store, network: network, controller: controller, workers: workers, memory: plan, needs: needs,
        makeDecode: { try decode(dataset) })
      try trainer.run(first..<end, stop: stop, meter: meter, observer: nil)
    } else {
      let trainer = try InMemoryTrainer(
        layout: setup.rowLayout, network: network, controller: controller, reader: dataset.reader(.train))
      try trainer.load(Snapshot(store))
      try trainer.run(
        first..<end, store: store, commitInterval: commitInterval, compactionBlocks: compactionBlocks,
        stop: stop,
        meter: meter, observer: nil)
    }
    let last = Int(try store.readState().cursor)
    let isStopped = controller.state.isStopped
    guard isStopped || last == end, !controller.isDue(at: last) else { return summary(.interrupted, last) }
    // A finished model is read more often than it was written: leave every row in its block.
    let compacted = try meter.waitingForCommit {
      try store.compactAll(maximumBlocks: compactionBlocks, stop: stop)
    }
    meter.count(compactedBytes: compacted)
    return summary(isStopped ? .stoppedEarly : .finished, last)
  }

  /// The model to begin with, for a model that is not there yet.
  private func makeOrigin(memory: Int) throws -> WarmStart? {
    guard let origin else { return nil }
    guard try ModelStore.exists(at: modelPath) else {
      return try WarmStart(from: origin, memory: memory)
    }
    let store = try ModelStore.openForReading(at: modelPath)
    guard try ModelHeader(store.header, path: modelPath).isWarmStarted else {
      throw ChanterError(
        .mismatch,
        "a model is there that did not begin with another one's weights; leave out --from to go on with it, or choose"
          + " another path", path: modelPath)
    }
    return nil
  }

  /// Nil for an in-memory run, whose needs are only checked.
  private func planMemory(_ needs: MemoryNeeds, _ setup: TrainingSetup) throws -> MemoryPlan? {
    if isInMemory {
      let bytes =
        InMemoryTrainer.bytes(layout: setup.rowLayout, batchLayout: setup.batchLayout) + setup.networkBytes
        + needs.readerBytes
        + (setup.validation.map { $0.fixedBytes + setup.dataset.layout(of: .valid).bytes } ?? 0)
      if let memory, memory < bytes {
        throw ChanterError(
          .budget,
          "in-memory training of this dataset needs \(ByteSize.ceilingMebibytes(bytes)); raise --memory, or leave out"
            + " --in-memory to train out of core from \(ByteSize.ceilingMebibytes(needs.minimum)) on")
      }
      try InMemoryTrainer.requireMachine(
        has: bytes,
        "leave out --in-memory to train out of core from \(ByteSize.ceilingMebibytes(needs.minimum)) on")
      return nil
    }
    guard let memory else {
      throw ChanterError(
        .budget,
        "--memory is needed: how much may this run take? At least \(ByteSize.ceilingMebibytes(needs.minimum)) here"
      )
    }
    return try needs.plan(budget: memory, wantedLookahead: configuration.run.lookahead)
  }
}

/// A decoder of the training split over all epochs, with a reader of its own.
func decode(_ dataset: Dataset) throws -> PrefetchPipeline.Decode {
  // Used on the pipeline's reader thread only.
  nonisolated(unsafe) let reader = try dataset.reader(.train)
  return { step, batch in
    try reader.read(step % reader.batchCount, into: batch)
    return true
  }
}
