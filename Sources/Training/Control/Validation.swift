public import BatchStore
import Foundation
import Lookahead
import Metrics
import Primitives
import TableStore

/// The validation split of a run: when it is scored, what that takes and what comes out of it.
struct Validation {
  /// Batches from one validation to the next, at absolute batch numbers.
  let interval: Int
  private let dataset: Dataset
  private let metric: ValidationMetric
  /// Number of the feature that groups samples.
  private let group: Int?

  /// Nil where none is wanted.
  /// - Throws: `.badInput` if the dataset has no validation split or no such feature to group by.
  init?(dataset: Dataset, control: TrainingControl) throws {
    guard let every = control.validEvery else { return nil }
    let manifest = dataset.manifest
    guard manifest.valid.samples > 0 else {
      throw ChanterError(
        .badInput,
        "valid_every is \(every.text), but this dataset has no validation split; preprocess it with one, or leave out"
          + " --valid-every", path: dataset.path)
    }
    self.dataset = dataset
    metric = control.metric
    interval = every.batches(perEpoch: manifest.train.batches)
    group = try control.group.map { try dataset.groupFeature($0, key: "group") }
  }

  /// Batches scored ahead where memory allows.
  static let lookahead = 8
  var samples: Int { dataset.manifest.valid.samples }
  /// Memory for ranking; more scores go to a temporary file.
  private static let mostRankingBytes = 4 << 20

  private var rankingBytes: Int { min(Self.mostRankingBytes, max(4096, 8 * dataset.manifest.valid.samples)) }
  private var groupingBytes: Int {
    group == nil ? 0 : min(Self.mostRankingBytes, max(4096, 16 * dataset.manifest.valid.samples))
  }

  /// What scoring takes beside rows and plans: reader, scores, metrics.
  var fixedBytes: Int {
    BatchReader.bytes(of: dataset, split: .valid) + rankingBytes + groupingBytes
      + 4 * dataset.layout(of: .valid).maximumSamples
  }

  /// Memory of scoring through a read-only planner and cache of its own. The store and the network are those of the
  /// training run, which stands still meanwhile.
  func needs(_ layout: RowLayout) -> MemoryNeeds {
    let part = dataset.manifest.valid
    return MemoryNeeds(
      rowLayout: layout, batchLayout: dataset.layout(of: .valid), denseBytes: 0, activationBytes: 0,
      denseRecordBytes: 0,
      readerBytes: fixedBytes - MemoryCosts.openStoreBytes,
      largestUnion: { part.largestUnion(of: $0, rows: layout.allRows) }, allRows: layout.allRows,
      policy: .min,
      trains: false, commitInterval: 1, trustsFirstTouchBefore: 0)
  }

  /// The least that scoring takes, and what it takes at most.
  /// - Parameter copiedRecordBytes: the dense record, where the best model is kept; else nil.
  func memoryRange(_ layout: RowLayout, copiedRecordBytes: Int?) -> ClosedRange<Int> {
    let needs = needs(layout)
    let copy = copiedRecordBytes.map { BestCopy.leastMemory(layout, denseRecordBytes: $0) }
    let least = max(needs.minimum, copy ?? 0)
    return least...max(least, needs.budget(lookahead: Self.lookahead, share: 1))
  }

  /// Reads the split, batch by batch. Used by one thread.
  func makeDecode() throws -> PrefetchPipeline.Decode {
    nonisolated(unsafe) let reader = try dataset.reader(.valid)
    return { step, batch in
      guard step < reader.batchCount else { return false }
      try reader.read(step, into: batch)
      return true
    }
  }

  func makeReader() throws -> BatchReader { try dataset.reader(.valid) }

  struct Result {
    let summary: RankingMetrics.Summary
    let groupedAUC: Double?
  }

  /// The predictions of one validation, as they come.
  struct Measurement {
    fileprivate let ranking: RankingMetrics
    fileprivate let grouped: (ranking: GroupedRanking, feature: Int)?

    /// The predictions of a batch, `batch.sampleCount` of them.
    func add(_ batch: Batch, _ scores: UnsafePointer<Float>) throws {
      for sample in 0..<batch.sampleCount {
        let label = batch.labels.base[sample]
        try ranking.add(score: scores[sample], label: label)
        if let grouped {
          let group = batch.row(of: sample, feature: grouped.feature)
          // Row 0 is many values that are rare or unseen: no group.
          guard group != Vocabulary.unseenRow else { continue }
          try grouped.ranking.add(group: group, score: scores[sample], label: label)
        }
      }
    }

    func finish() throws -> Result {
      Result(summary: try ranking.finish(), groupedAUC: try grouped?.ranking.finish().auc)
    }
  }

  func makeMeasurement() -> Measurement {
    let directory = FileManager.default.temporaryDirectory.path
    return Measurement(
      ranking: RankingMetrics(memoryBytes: rankingBytes, spillDirectory: directory),
      grouped: group.map {
        (GroupedRanking(memoryBytes: groupingBytes, spillDirectory: directory), $0)
      })
  }

  /// The value that decisions are made on.
  func value(_ result: Result) throws -> Double {
    let value: Double? =
      switch metric {
      case .auc: result.summary.auc
      case .groupedAUC: result.groupedAUC
      case .accuracy: result.summary.accuracy
      case .logLoss: result.summary.logLoss
      case .normalizedEntropy: result.summary.normalizedEntropy
      }
    guard let value else {
      throw ChanterError(
        .badInput,
        "\(metric.rawValue) of the validation split is undefined: "
          + (metric == .groupedAUC
            ? "no group has samples of both classes" : "it has samples of one class only")
          + "; choose --metric log_loss or accuracy, or preprocess with a larger validation split",
        path: dataset.path)
    }
    return value
  }
}

extension Dataset {
  /// The number of a single-valued categorical feature.
  /// - Throws: `.badInput` naming the features there are.
  public func groupFeature(_ name: String, key: String) throws -> Int {
    let singles = manifest.features.filter { !$0.isBag }.map(\.name)
    guard let number = manifest.features.firstIndex(where: { $0.name == name && !$0.isBag }) else {
      throw ChanterError(
        .badInput,
        "\(key): `\(name)` is not a categorical feature with one value a sample; those are"
          + " \(singles.joined(separator: ", "))", path: path)
    }
    return number
  }
}

extension Batch {
  /// The row that a sample uses of a single-valued feature.
  @inline(__always)
  public func row(of sample: Int, feature: Int) -> UInt32 {
    keys.base[Int(inverse.base[Int(entryOffsets.base[feature]) + sample])].row
  }
}
