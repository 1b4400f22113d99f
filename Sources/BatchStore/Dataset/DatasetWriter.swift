public import Primitives

/// Writes a dataset from samples whose rows are numbered already.
///
/// This is how preprocessing ends, and how tests and benchmarks make a dataset directly:
///
///     let output = try PendingOutput(path)
///     let writer = try DatasetWriter(to: output, tables: tables, denseCount: 13, batchSize: 2048)
///     try writer.append(samples, to: .train)      // as often as there are batches
///     let manifest = try writer.finish()           // the dataset lies at `path` now
///
/// Every batch of a split but its last holds exactly `batchSize` samples. Unique rows, next uses, first touches and
/// identities are found here. Memory: by distinct rows, about 18 bytes each, and 108 bytes by batch; not by samples.
public final class DatasetWriter {
  public static let defaultSegmentBytes = 1 << 30

  private let output: PendingOutput
  private let tables: [TableLayout]
  private let denseCount: Int
  private let batchSize: Int
  private let builder: BatchBuilder
  private let batch: Batch
  private let train: SplitWriter
  private let holdout: SplitWriter

  /// - Parameters:
  ///   - tables: names and rows; a row number must lie below the rows of its table.
  ///   - batchSize: 1 to 65,536.
  ///   - segmentBytes: a segment file ends with the frame that reaches this size; at least 1.
  public init(
    to output: PendingOutput, tables: [TableLayout], denseCount: Int, batchSize: Int,
    segmentBytes: Int = DatasetWriter.defaultSegmentBytes
  ) throws {
    guard (1...Manifest.maximumBatchSize).contains(batchSize) else {
      throw ChanterError(
        .badInput, "the batch size is \(batchSize); it must be 1 to \(Manifest.maximumBatchSize)")
    }
    guard tables.count <= Manifest.maximumTables, (0...Manifest.maximumDense).contains(denseCount) else {
      throw ChanterError(
        .badInput, "at most \(Manifest.maximumTables) tables and \(Manifest.maximumDense) dense columns")
    }
    self.output = output
    self.tables = tables
    self.denseCount = denseCount
    self.batchSize = batchSize
    builder = BatchBuilder(capacity: batchSize)
    batch = Batch(
      layout: BatchBuilder.layout(tableCount: tables.count, denseCount: denseCount, capacity: batchSize))
    func header(_ split: Split) -> SegmentHeader {
      SegmentHeader(
        split: split, number: 0, tableCount: tables.count, denseCount: denseCount, batchSize: batchSize,
        firstBatch: 0)
    }
    train = try SplitWriter(output: output, header: header(.train), segmentBytes: segmentBytes)
    holdout = try SplitWriter(output: output, header: header(.holdout), segmentBytes: segmentBytes)
  }

  /// Appends the next batch of `split`.
  public func append(_ samples: SampleBatch, to split: Split) throws {
    guard (1...batchSize).contains(samples.sampleCount), samples.tableCount == tables.count,
      samples.denseCount == denseCount
    else {
      throw ChanterError(.badInput, "a batch of \(samples.sampleCount) samples does not fit this dataset")
    }
    let writer = split == .train ? train : holdout
    builder.build(samples, index: writer.batches, into: batch)
    for table in tables.indices {
      let end = Int(batch.tableOffsets.base[table + 1])
      let largest = batch.keys.base[end - 1].row
      guard largest < tables[table].rows else {
        throw ChanterError(
          .badInput, "row \(largest) in table \(tables[table].name), which has \(tables[table].rows) rows")
      }
    }
    try writer.append(batch)
  }

  /// Computes the hints, writes everything, and gives the output its final name.
  /// - Parameters:
  ///   - vocabularyIdentity: identity of a vocabulary that was written to `output` with `VocabularyWriter`; nil if
  ///     there is none: the identity is then made of the tables' names and rows.
  ///   - progress: called with the batches written and all batches.
  public func finish(
    vocabularyIdentity: String? = nil, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
  ) throws -> Manifest {
    let total = train.batches + holdout.batches
    let (trainPart, trainContent) = try train.finish { try progress($0, total) }
    let (holdoutPart, holdoutContent) = try holdout.finish { try progress(trainPart.batches + $0, total) }
    let vocabulary = vocabularyIdentity ?? identityWithoutVocabulary()
    var batching = Fingerprint()
    batching.update("chanter batching 1")
    batching.update(vocabulary)
    batching.update(UInt64(batchSize))
    batching.update(UInt64(denseCount))
    for (part, content) in [(trainPart, trainContent), (holdoutPart, holdoutContent)] {
      batching.update(UInt64(part.samples))
      batching.update(content)
    }
    let manifest = Manifest(
      tables: tables, denseCount: denseCount, batchSize: batchSize, vocabularyIdentity: vocabulary,
      batchingIdentity: batching.hex, hasVocabulary: vocabularyIdentity != nil, train: trainPart,
      holdout: holdoutPart)
    let sealed = try manifest.write(to: output.file(Manifest.fileName))
    try output.publish()
    return sealed
  }

  private func identityWithoutVocabulary() -> String {
    var fingerprint = Fingerprint()
    fingerprint.update("chanter rows without values 1")
    for table in tables {
      fingerprint.update(UInt64(table.name.utf8.count))
      fingerprint.update(table.name)
      fingerprint.update(UInt64(table.rows))
    }
    return fingerprint.hex
  }
}
