import BatchStore
import Models
import Primitives
package import TableStore

/// A model opened to be trained: everything committed lies in its blocks, and `network` holds its dense parameters.
struct ModelSession {
  let store: ModelStore
  let network: DenseModel
  /// What the model was made with.
  let header: ModelHeader
  /// Batches trained.
  let cursor: Int
  let state: ControlState
  /// What it has taken from another model, if it was just made from one.
  let warmStart: WarmStartReport?

  /// Opens the model at `path`, or makes it where nothing was ever committed. A model of a dataset that this one extends becomes one of
  /// this dataset.
  ///
  /// - Parameters:
  ///   - header: of a new model; one that is there must agree with it.
  ///   - origin: what a new model begins with, instead of random weights.
  ///   - compactionBlocks: blocks of one transaction.
  ///   - stop: ends the compaction early; the model must not be trained then.
  /// - Throws: `.mismatch` for a model of another dataset or configuration, naming the difference.
  init(
    path: String, header: ModelHeader, setup: TrainingSetup, workers: WorkerPool, origin: WarmStart? = nil,
    compactionBlocks: Int,
    stop: StopSignal
  ) throws {
    network = try setup.makeNetwork(workers: workers)
    guard try ModelStore.exists(at: path) else {
      self.header = header
      cursor = 0
      state = ControlState()
      warmStart = try origin?.makeModel(at: path, header: header, setup: setup, network: network)
      store =
        origin == nil
        ? try setup.createModel(at: path, header: header, network: network)
        : try ModelStore.openForTraining(at: path)
      return
    }
    warmStart = nil
    let stored = try ModelStore.openForTraining(at: path)
    var own = try ModelHeader(stored.header, path: path)
    try own.requireSame(as: header, setup: setup, path: path)
    let record = AlignedBuffer<UInt8>(
      count: DenseRecord.byteCount(parameterBytes: network.parameterBytes.count))
    cursor = Int(try stored.readState(dense: UnsafeMutableRawBufferPointer(record.prefix())).cursor)
    state = try DenseRecord.state(record.rawBytes, cursor: cursor, path: path)
    if own.dataset.isAncestor(of: setup.dataset.manifest) {
      try own.requireFirstEpoch(cursor: cursor, path: path)
      guard !state.isStopped else {
        throw ChanterError(
          .mismatch,
          "the model stopped early on the dataset that this one extends, so it cannot go on here; begin a new model with"
            + " --from this one", path: path)
      }
      own.dataset = header.dataset
      store = try stored.extended(to: setup.rowLayout, header: own.json)
    } else {
      store = stored
    }
    self.header = own
    guard store.layout == setup.rowLayout else {
      throw ChanterError(
        .mismatch,
        "the model's tables are not those of this dataset; train on the dataset that it was made with, or give"
          + " --out a new path", path: path)
    }
    try VocabularyLink.update(in: path, of: setup.dataset)
    _ = try store.compactAll(maximumBlocks: compactionBlocks, stop: stop)
    try network.load(DenseRecord.parameters(record.rawBytes))
  }
}

extension ModelHeader {
  /// Throws unless every batch trained so far is the same in a dataset that extends this model's: within the first epoch it is, and
  /// after it the two begin anew at different batches.
  fileprivate func requireFirstEpoch(cursor: Int, path: String) throws {
    guard cursor > dataset.trainBatches else { return }
    throw ChanterError(
      .mismatch,
      "the model was trained for \(cursor) batches, more than one epoch (\(dataset.trainBatches)) of the dataset that this one"
        + " extends, so it cannot go on here; begin a new model with --from this one", path: path)
  }
}

extension TrainingSetup {
  /// A new model with the network's parameters and the dataset's vocabulary, before its first batch.
  func createModel(
    at path: String, header: ModelHeader, network: DenseModel, beside others: Set<String> = []
  ) throws -> ModelStore {
    try DenseRecord.with(network.parameterBytes, ControlState()) { record in
      try ModelStore.create(
        at: path, header: header.json, layout: rowLayout, dense: record, cursor: 0,
        beside: others.union(VocabularyLink.names)
      ) { try VocabularyLink.begin(in: path, of: dataset) }
    }
  }
}

extension ModelStore {
  /// Moves everything committed into its blocks, or less when `stop` is requested; returns the bytes written.
  func compactAll(maximumBlocks: Int, stop: StopSignal) throws -> Int {
    guard let compaction = try makeCompaction(maximumBlocks: maximumBlocks) else { return 0 }
    while !stop.isRequested, try !compaction.step() {}
    return compaction.bytesWritten
  }
}

/// Makes the model that training of a dataset would begin with, to be filled by other means than training.
/// - Returns: its store, open for training, and the batches of an epoch.
package func makeModel(
  _ path: String, dataset: String, configuration: Configuration
) throws -> (store: ModelStore, batches: Int) {
  let dataset = try Dataset(opening: dataset)
  let setup = try TrainingSetup(dataset: dataset, configuration: configuration)
  let network = try setup.makeNetwork(workers: WorkerPool(threadCount: setup.threads))
  let store = try setup.createModel(
    at: path, header: ModelHeader(configuration: configuration, dataset: dataset), network: network)
  return (store, dataset.manifest.train.batches)
}
