import BatchStore
import Foundation
import Models
import Primitives
import TableStore

/// Dataset, configuration and the shapes that follow from them: what training, resuming and verifying begin with.
struct TrainingSetup {
  let dataset: Dataset
  let model: ModelConfiguration
  let network: DLRMConfiguration
  let rowOptimizer: RowOptimizer
  let denseOptimizer: DenseOptimizer
  let rowLayout: RowLayout
  let threads: Int
  let control: TrainingControl
  let validation: Validation?
  private let keepsBest: Bool

  init(dataset: Dataset, configuration: Configuration) throws {
    self.dataset = dataset
    model = configuration.model
    let manifest = dataset.manifest
    try Self.requireSupported(manifest.features, tables: manifest.tables, path: dataset.path)
    network = try model.network(denseCount: manifest.denseCount, tableCount: manifest.tables.count)
    rowOptimizer = try model.rowOptimizer()
    denseOptimizer = try model.denseOptimizer()
    rowLayout = RowLayout(
      tables: manifest.tables, dimension: model.dimension, stateFloats: rowOptimizer.stateFloats,
      seed: model.seed)
    threads = Self.threads(configuration.run.threads)
    control = configuration.control
    keepsBest = configuration.run.keepsBest
    validation = try Validation(dataset: dataset, control: control)
    guard manifest.train.batches > 0 else {
      throw ChanterError(.badInput, "this dataset has no training samples", path: dataset.path)
    }
  }

  /// A network takes one value of each table.
  static func requireSupported(_ features: [FeatureLayout], tables: [TableLayout], path: String) throws {
    if let bag = features.first(where: \.isBag) {
      throw ChanterError(
        .unsupported, "column \(bag.name) has several values a sample, which no model takes yet", path: path)
    }
    guard features.map(\.table) == Array(tables.indices) else {
      throw ChanterError(.unsupported, "several columns share a table, which no model takes yet", path: path)
    }
  }

  /// The wanted thread count, or one for each core.
  static func threads(_ wanted: Int) -> Int {
    wanted > 0 ? wanted : ProcessInfo.processInfo.activeProcessorCount
  }

  var batchLayout: BatchLayout { dataset.layout(of: .train) }

  func makeNetwork(workers: WorkerPool) throws -> DenseModel {
    try DenseModel(
      configuration: network, rowOptimizer: rowOptimizer, denseOptimizer: denseOptimizer, seed: model.seed,
      maximumBatchSize: batchLayout.maximumSamples, maximumUniqueRows: batchLayout.maximumUniqueRows,
      workers: workers)
  }

  var networkBytes: Int {
    DenseModel.memoryBytes(
      configuration: network, denseOptimizer: denseOptimizer, maximumBatchSize: batchLayout.maximumSamples,
      maximumUniqueRows: batchLayout.maximumUniqueRows, threadCount: threads)
  }

  func memoryNeeds(run: RunConfiguration, commitInterval: Int) -> MemoryNeeds {
    let train = dataset.manifest.train
    return MemoryNeeds(
      rowLayout: rowLayout, batchLayout: batchLayout, modelBytes: networkBytes,
      denseRecordBytes: DenseRecord.byteCount(
        parameterBytes: DenseModel.parameterByteCount(configuration: network, denseOptimizer: denseOptimizer)),
      readerBytes: BatchReader.bytes(of: dataset, split: .train),
      largestUnion: { train.largestUnion(of: $0, rows: rowLayout.allRows) }, allRows: rowLayout.allRows,
      policy: run.policy, trains: true, commitInterval: commitInterval,
      validation: validation.map { ($0.interval, $0.memoryRange(rowLayout, keepsBest: keepsBest)) },
      trustsFirstTouchBefore: train.batches)
  }
}

extension RowLayout {
  /// Declared rows of all tables.
  var allRows: Int { tables.reduce(0) { $0 + Int($1.rows) } }
}

extension SplitManifest {
  /// An upper bound of the distinct rows in any `count` consecutive batches, exact where `count` is a power of two that
  /// the manifest lists: a window is covered by windows of listed lengths.
  func largestUnion(of count: Int, rows: Int) -> Int {
    func listed(_ power: Int) -> Int { power < largestUnions.count ? largestUnions[power] : rows }
    var parts = 0
    for power in 0..<Int.bitWidth - 1 where count >> power & 1 == 1 { parts += min(rows, listed(power)) }
    var enclosing = 0
    while 1 << enclosing < count { enclosing += 1 }
    return min(rows, parts, listed(enclosing))
  }
}
