import BatchStore
import Foundation
import Models
import Primitives
import TableStore

/// Dataset, configuration and the shapes that follow from them: what training, resuming and verifying begin with.
struct TrainingSetup {
  let dataset: Dataset
  let configuration: Configuration
  let specification: ModelSpecification
  let rowLayout: RowLayout
  /// Bytes of the network's buffers in training, and of these the activations.
  let networkBytes: Int
  let activationBytes: Int
  let denseRecordBytes: Int
  let threads: Int
  let control: TrainingControl
  let validation: Validation?
  private let keepsBest: Bool

  init(dataset: Dataset, configuration: Configuration) throws {
    self.dataset = dataset
    self.configuration = configuration
    let manifest = dataset.manifest
    let threads = Self.threads(configuration.run.threads)
    let limits = BatchLimits(dataset.layout(of: .train))
    control = configuration.control
    keepsBest = configuration.run.keepsBest
    validation = try Validation(dataset: dataset, control: control)
    var specification = try configuration.locatingErrors {
      try configuration.model.specification(
        denseCount: manifest.denseCount, tables: manifest.tables.map(\.name), features: manifest.features)
    }
    specification.classWeights = ClassWeights(
      negative: control.negativeWeight, positive: control.positiveWeight)
    self.threads = threads
    self.specification = specification
    rowLayout = try RowLayout(
      specification, tables: manifest.tables,
      initialScales: configuration.model.initialScales(manifest))
    (networkBytes, activationBytes) = try configuration.locatingErrors {
      (
        try specification.memoryBytes(limits: limits, threadCount: threads),
        try specification.activationBytes(limits: limits, threadCount: threads)
      )
    }
    denseRecordBytes = DenseRecord.byteCount(parameterBytes: try specification.parameterByteCount())
    guard manifest.train.batches > 0 else {
      throw ChanterError(.badInput, "this dataset has no training samples", path: dataset.path)
    }
  }

  /// The wanted thread count, or one for each core.
  static func threads(_ wanted: Int) -> Int {
    wanted > 0 ? wanted : ProcessInfo.processInfo.activeProcessorCount
  }

  var batchLayout: BatchLayout { dataset.layout(of: .train) }

  func makeNetwork(workers: WorkerPool) throws -> DenseModel {
    try DenseModel(specification, limits: BatchLimits(batchLayout), workers: workers)
  }

  func memoryNeeds(run: RunConfiguration, commitInterval: Int) -> MemoryNeeds {
    let train = dataset.manifest.train
    return MemoryNeeds(
      rowLayout: rowLayout, batchLayout: batchLayout, denseBytes: networkBytes - activationBytes,
      activationBytes: activationBytes,
      denseRecordBytes: denseRecordBytes,
      readerBytes: BatchReader.bytes(of: dataset, split: .train),
      largestUnion: { train.largestUnion(of: $0, rows: rowLayout.allRows) }, allRows: rowLayout.allRows,
      policy: run.policy, trains: true, commitInterval: commitInterval,
      validation: validation.map {
        ($0.interval, $0.memoryRange(rowLayout, copiedRecordBytes: keepsBest ? denseRecordBytes : nil))
      },
      trustsFirstTouchBefore: train.batches)
  }
}

extension BatchLimits {
  init(_ layout: BatchLayout) {
    self.init(
      samples: layout.maximumSamples, uniqueRows: layout.maximumUniqueRows, entries: layout.maximumEntries)
  }
}

extension ModelConfiguration {
  /// Per table of a dataset: the bound of a new model's random weights. It follows from the rows that the table had in the
  /// dataset's first part, so that it is the same whether a model began before or after more was appended.
  func initialScales(_ manifest: Manifest) -> [Float] {
    manifest.parts[0].rows.map { initialScale > 0 ? initialScale : RowLayout.usualScale(rows: $0) }
  }
}

extension RowLayout {
  /// The rows of a model.
  init(_ specification: ModelSpecification, tables: [TableLayout], initialScales: [Float]) throws {
    let dimension = try specification.rowDimension()
    self.init(
      tables: tables, dimension: dimension,
      stateFloats: specification.rowOptimizer.stateFloats(dimension: dimension), seed: specification.seed,
      randomWeights: try specification.rowParts().map(\.vector), initialScales: initialScales)
  }

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
