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
  public var stop = StopSignal()
  /// Called before the first batch, with what the run will do.
  public var started: (RunStart) -> Void = { _ in }
  public var progressed: (RunProgress) -> Void = { _ in }

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
}

extension TrainingRequest {
  /// Trains until the wanted epochs are done or `stop` is requested; either way the last commit holds everything trained.
  ///
  /// - Throws: `.budget` below the least memory, naming it; `.mismatch` for a model of another dataset or configuration,
  ///   naming the difference; what the stores throw.
  public func run() throws -> RunSummary {
    let dataset = try Dataset(opening: datasetPath)
    let setup = try TrainingSetup(dataset: dataset, configuration: configuration)
    let needs = setup.memoryNeeds(run: configuration.run, commitInterval: commitInterval)
    let plan = try planMemory(needs, setup)

    let workers = WorkerPool(threadCount: setup.threads)
    let network = try setup.makeNetwork(workers: workers)
    let header = ModelHeader(configuration: setup.model, dataset: dataset)
    let compactionBlocks = plan?.compactionBlocks ?? 50_000
    let (store, stored) = try openOrCreate(header, setup, network, compactionBlocks: compactionBlocks)
    try VocabularyLink.ensure(in: modelPath, of: dataset)

    let batches = dataset.manifest.train.batches
    let first = Int(try store.readState().cursor)
    let end = configuration.run.epochs * batches
    let meter = RunMeter(endStep: end, batchesPerEpoch: batches, display: progressed)
    guard first < end else {
      return RunSummary(end: .alreadyFinished, progress: meter.progress(step: first - 1), memory: plan)
    }
    started(
      RunStart(
        firstStep: first, endStep: end, batchesPerEpoch: batches, threads: setup.threads, memory: plan,
        machineDifference: stored.machine.difference(from: header.machine)))
    if let plan {
      let trainer = OutOfCoreTrainer(
        store: store, network: network, workers: workers, memory: plan, needs: needs,
        makeDecode: { try decode(dataset) })
      try trainer.run(first..<end, stop: stop, meter: meter, observer: nil)
    } else {
      let trainer = try InMemoryTrainer(
        layout: setup.rowLayout, network: network, reader: dataset.reader(.train))
      try trainer.load(Snapshot(store))
      try trainer.run(
        first..<end, store: store, commitInterval: commitInterval, compactionBlocks: compactionBlocks,
        stop: stop,
        meter: meter, observer: nil)
    }
    let last = Int(try store.readState().cursor)
    let isFinished = last == end
    // A finished model is read more often than it was written: leave every row in its block.
    if isFinished { meter.count(compactedBytes: try store.compactAll(maximumBlocks: compactionBlocks)) }
    return RunSummary(
      end: isFinished ? .finished : .interrupted, progress: meter.progress(step: last - 1), memory: plan)
  }

  /// Nil for an in-memory run, whose needs are only checked.
  private func planMemory(_ needs: MemoryNeeds, _ setup: TrainingSetup) throws -> MemoryPlan? {
    if isInMemory {
      let bytes = InMemoryTrainer.bytes(layout: setup.rowLayout) + setup.networkBytes
      if let memory, memory < bytes {
        throw ChanterError(
          .budget,
          "in-memory training of this dataset needs \(ByteSize.ceilingMebibytes(bytes)); raise --memory, or leave out"
            + " --in-memory to train out of core from \(ByteSize.ceilingMebibytes(needs.minimum)) on")
      }
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

  /// The model's store with `network` holding its dense parameters, and the header it was made with.
  private func openOrCreate(
    _ header: ModelHeader, _ setup: TrainingSetup, _ network: DenseModel, compactionBlocks: Int
  ) throws -> (ModelStore, ModelHeader) {
    guard try ModelStore.exists(at: modelPath) else {
      let store = try ModelStore.create(
        at: modelPath, header: header.json, layout: setup.rowLayout, dense: network.parameterBytes, cursor: 0)
      return (store, header)
    }
    let store = try ModelStore.openForTraining(at: modelPath)
    let stored = try ModelHeader(store.header, path: modelPath)
    try stored.requireSame(as: header, path: modelPath)
    guard store.layout == setup.rowLayout else {
      throw ChanterError(.mismatch, "the model's tables are not those of this dataset", path: modelPath)
    }
    _ = try store.compactAll(maximumBlocks: compactionBlocks)
    try network.load(from: store)
    return (store, stored)
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

extension DenseModel {
  /// Takes the dense parameters and their optimizer state of the last commit.
  func load(from store: ModelStore) throws {
    let record = AlignedBuffer<UInt8>(count: parameterBytes.count)
    _ = try store.readState(dense: UnsafeMutableRawBufferPointer(record.prefix()))
    try load(record.rawBytes)
  }
}

extension ModelStore {
  /// Moves everything committed into its blocks; returns the bytes written.
  func compactAll(maximumBlocks: Int) throws -> Int {
    guard let compaction = try makeCompaction(maximumBlocks: maximumBlocks) else { return 0 }
    while try !compaction.step() {}
    return compaction.bytesWritten
  }
}
