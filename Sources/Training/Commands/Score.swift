public import BatchStore
import Lookahead
import Models
public import Primitives
import TableStore

/// A trained model, opened to score samples: one consistent commit, also while a trainer has the model open.
///
/// Scores flow through the same planner and cache as training, without changing rows. While it is open the model's file
/// grows by what a trainer writes meanwhile.
public final class Scorer {
  public let header: ModelHeader
  /// Batches the model was trained on.
  public let cursor: Int
  private let modelPath: String
  private let store: ModelStore
  private let snapshot: Snapshot
  private let specification: ModelSpecification
  private let threads: Int
  /// Batches planned and fetched ahead where memory allows.
  private static let lookahead = 8
  /// What scoring takes unless told otherwise, if it can do with so much.
  private static let defaultMemory = 512 << 20

  /// - Parameter threads: compute threads; 0 means one for each core.
  public init(modelPath: String, threads: Int = 0) throws {
    self.modelPath = modelPath
    self.threads = TrainingSetup.threads(threads)
    store = try ModelStore.openForReading(at: modelPath)
    snapshot = try Snapshot(store)
    header = try ModelHeader(store.header, path: modelPath)
    cursor = Int(snapshot.cursor)
    specification = try header.specification(tables: store.layout.tables)
    guard
      try RowLayout(
        specification, tables: store.layout.tables, initialScales: store.layout.initialScales)
        == store.layout
    else {
      throw ChanterError(
        .corrupt, "the model's header does not fit its rows; restore it from a copy", path: modelPath)
    }
  }

  public var tables: [TableLayout] { store.layout.tables }

  /// The values that the model's rows stand for.
  public func vocabulary() throws -> Vocabulary {
    try VocabularyLink.load(from: modelPath, identity: header.dataset.vocabulary)
  }

  /// Scores one split of a dataset, in its order. Predictions are corrected for the negative rate that the model was trained with.
  /// - Parameters:
  ///   - memory: bytes to stay within; nil takes 512 MiB, or the least that works if that is more.
  ///   - otherBytes: what `body` keeps in memory; part of the budget.
  ///   - body: gets each batch with its scores, `batch.sampleCount` of them.
  /// The dataset may be extended by the one that the model was trained on, or extend it: values that are new since then count as
  /// unseen.
  /// - Throws: `.mismatch` if the dataset numbers its rows in another way.
  public func score(
    _ dataset: Dataset, split: Split, memory: Int?, otherBytes: Int = 0,
    _ body: (Batch, UnsafePointer<Float>) throws -> Void
  ) throws {
    let manifest = dataset.manifest
    let tables = store.layout.tables
    guard header.dataset.sharesRows(with: manifest), manifest.tables.map(\.name) == tables.map(\.name),
      manifest.features == header.dataset.features,
      manifest.denseCount == header.denseCount
    else {
      throw ChanterError(
        .mismatch,
        "this dataset numbers its values in another way than the one that \(modelPath) was trained on; score its raw"
          + " input with `chanter predict` instead", path: dataset.path)
    }
    let part = dataset.manifest.split(split)
    guard part.batches > 0 else { return }
    // Used on the pipeline's reader thread only.
    nonisolated(unsafe) let reader = try dataset.reader(split)
    try score(
      layout: reader.layout, readerBytes: BatchReader.bytes(of: dataset, split: split) + otherBytes,
      memory: memory,
      largestUnion: { [rows = store.layout.allRows] in part.largestUnion(of: $0, rows: rows) },
      decode: { step, batch in
        guard step < part.batches else { return false }
        try reader.read(step, into: batch)
        batch.makeUnseen(beyond: tables)
        return true
      }, body)
  }

  /// Scores batches from anywhere.
  /// - Parameters:
  ///   - readerBytes: what `decode` keeps in memory; part of the budget.
  ///   - memory: bytes to stay within; nil takes 512 MiB, or the least that works if that is more.
  ///   - largestUnion: the most distinct rows in so many consecutive batches, or an upper bound.
  ///   - decode: fills the batch of each step in turn; false at the end. Called on a thread of its own.
  public func score(
    layout: BatchLayout, readerBytes: Int, memory: Int?, largestUnion: @escaping (Int) -> Int,
    decode: @escaping @Sendable (_ step: Int, _ batch: Batch) throws -> Bool,
    _ body: (Batch, UnsafePointer<Float>) throws -> Void
  ) throws {
    let activationBytes = try specification.activationBytes(limits: .none, threadCount: threads)
    let needs = MemoryNeeds(
      rowLayout: store.layout, batchLayout: layout,
      denseBytes: try specification.memoryBytes(limits: .none, threadCount: threads) - activationBytes
        + layout.maximumSamples * 4,
      activationBytes: activationBytes,
      denseRecordBytes: 0, readerBytes: readerBytes, largestUnion: largestUnion,
      allRows: store.layout.allRows,
      policy: .min, trains: false, commitInterval: 1, trustsFirstTouchBefore: 0)
    let plan = try needs.plan(
      budget: memory ?? max(Self.defaultMemory, needs.minimum), wantedLookahead: Self.lookahead)
    let scoring = try DenseModel(
      specification, limits: .none, workers: WorkerPool(threadCount: threads))
    let record = AlignedBuffer<UInt8>(
      count: DenseRecord.byteCount(parameterBytes: scoring.parameterBytes.count))
    try snapshot.readDense(into: UnsafeMutableRawBufferPointer(record.prefix()))
    try scoring.load(DenseRecord.parameters(record.rawBytes))
    let rate = header.control.negativeRate
    try scoreBatches(
      snapshot, layout: store.layout, needs: needs, plan: plan, network: scoring, decode: decode
    ) { batch, scores in
      if rate < 1 {
        for sample in 0..<batch.sampleCount {
          scores[sample] = TrainingControl.corrected(scores[sample], negativeRate: rate)
        }
      }
      try body(batch, UnsafePointer(scores))
    }
  }

  /// The hash over every row that differs from its initial value, the dense parameters and the cursor.
  public func digest() throws -> String { try snapshot.digest() }
}
