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
/// identities are found here. Memory: 4 bytes by row, up to 256 MiB, and 132 bytes by batch; not
/// by samples.
public final class DatasetWriter {
  public static let defaultSegmentBytes = 1 << 30
  public static let defaultRowsPerPartition = 1 << 26

  private let output: PendingOutput
  private let tables: [TableLayout]
  private let denseCount: Int
  private let batchSize: Int
  private let pool: WorkerPool
  private let slots: [BatchSlot]
  private let train: SplitWriter
  private let holdout: SplitWriter

  /// - Parameters:
  ///   - tables: names and rows; a row number must lie below the rows of its table.
  ///   - batchSize: 1 to 65,536.
  ///   - segmentBytes: a segment file ends with the frame that reaches this size; at least 1.
  ///   - rowsPerPartition: rows whose next uses are found at once, at 4 bytes each; 1 to 2^30. The result does not
  ///     depend on it.
  ///   - pool: who makes the batches of a group side by side; the result does not depend on it.
  public init(
    to output: PendingOutput, tables: [TableLayout], denseCount: Int, batchSize: Int,
    segmentBytes: Int = DatasetWriter.defaultSegmentBytes,
    rowsPerPartition: Int = DatasetWriter.defaultRowsPerPartition,
    pool: WorkerPool = WorkerPool(threadCount: 1)
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
    self.pool = pool
    slots = try (0..<Self.groupSize(batchSize: batchSize, threads: pool.threadCount)).map { _ in
      try BatchSlot(tableCount: tables.count, denseCount: denseCount, batchSize: batchSize)
    }
    func header(_ split: Split) -> SegmentHeader {
      SegmentHeader(
        split: split, number: 0, tableCount: tables.count, denseCount: denseCount, batchSize: batchSize,
        firstBatch: 0)
    }
    train = try SplitWriter(
      output: output, header: header(.train), tables: tables, segmentBytes: segmentBytes,
      rowsPerPartition: rowsPerPartition)
    holdout = try SplitWriter(
      output: output, header: header(.holdout), tables: tables, segmentBytes: segmentBytes,
      rowsPerPartition: rowsPerPartition)
  }

  /// Appends the next batch of `split`.
  public func append(_ samples: SampleBatch, to split: Split) throws {
    guard (1...batchSize).contains(samples.sampleCount), samples.tableCount == tables.count,
      samples.denseCount == denseCount
    else {
      throw ChanterError(.badInput, "a batch of \(samples.sampleCount) samples does not fit this dataset")
    }
    let writer = writer(of: split)
    try slots[0].build(samples, index: writer.batches, tables: tables)
    try writer.append(slots[0])
  }

  /// Appends the next `count` batches of `split`, several side by side.
  /// - Parameter fill: fills the samples of batch `index` of the `count`; called from the pool, in no order.
  public func append(
    _ count: Int, to split: Split,
    fill: (_ index: Int, _ samples: SampleBatch, _ worker: Int) throws -> Void
  ) throws {
    let writer = writer(of: split)
    for first in stride(from: 0, to: count, by: slots.count) {
      let group = min(slots.count, count - first)
      let base = writer.batches
      try BatchSlot.run(slots, group, on: pool) { task, slot, worker in
        try fill(first + task, slot.samples, worker)
        try slot.build(slot.samples, index: base + task, tables: tables)
      }
      for slot in slots[..<group] { try writer.append(slot) }
    }
  }

  /// Batches that `append` makes side by side; more in one call gain nothing.
  public var groupSize: Int { slots.count }

  /// Small batches go in larger groups, so that handing them out costs little.
  private static func groupSize(batchSize: Int, threads: Int) -> Int {
    max(threads, min(8 * threads, 16_384 / batchSize))
  }

  /// Memory of a writer beside rows and batches: what a group is made in, with room for the frames before and after
  /// compression.
  public static func bytes(tableCount: Int, denseCount: Int, batchSize: Int, threads: Int) -> Int {
    let layout = BatchBuilder.layout(tableCount: tableCount, denseCount: denseCount, capacity: batchSize)
    let raw = FrameShape.maximumRawBytes(
      tables: tableCount, dense: denseCount, samples: batchSize, unique: layout.maximumUniqueRows)
    let samples = 4 * batchSize * (tableCount + denseCount + 1)
    let slot = layout.bytes + samples + 16 * batchSize + 8 * layout.maximumUniqueRows + 4 * raw
    return groupSize(batchSize: batchSize, threads: threads) * slot
  }

  private func writer(of split: Split) -> SplitWriter { split == .train ? train : holdout }

  /// Computes the hints, writes everything, and gives the output its final name.
  /// - Parameters:
  ///   - vocabularyIdentity: identity of a vocabulary that was written to `output` with `VocabularyWriter`; nil if
  ///     there is none: the identity is then made of the tables' names and rows.
  ///   - progress: called with the batches written and all batches, after each group.
  public func finish(
    vocabularyIdentity: String? = nil, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
  ) throws -> Manifest {
    let total = train.batches + holdout.batches
    let (trainPart, trainContent) = try train.finish(slots, on: pool) { try progress($0, total) }
    let (holdoutPart, holdoutContent) = try holdout.finish(slots, on: pool) {
      try progress(trainPart.batches + $0, total)
    }
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
