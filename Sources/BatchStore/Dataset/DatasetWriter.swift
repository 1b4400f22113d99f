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
/// identities are found here. Memory: 4 bytes by row, up to 256 MiB, and at most 4 MiB for the partitions of more rows; not by
/// samples or batches.
public final class DatasetWriter {
  public static let defaultSegmentBytes = 1 << 30
  public static let defaultRowsPerPartition = 1 << 26

  private let output: PendingOutput
  private let content: DatasetContent
  private let batchSize: Int
  private let pool: WorkerPool
  private let slots: [BatchSlot]
  private let train: SplitWriter
  private let valid: SplitWriter
  private let holdout: SplitWriter
  private let base: Dataset?

  /// - Parameters:
  ///   - content: what samples consist of; a row number must lie below the rows of its table.
  ///   - batchSize: 1 to 65,536.
  ///   - segmentBytes: a segment file ends with the frame that reaches this size; at least 1.
  ///   - rowsPerPartition: rows whose next uses are found at once, at 4 bytes each; 1 to 2^30, and not less than a 16,384th of
  ///     all rows. The result does not depend on it.
  ///   - bagEntries: the most entries of the bags of a batch; more are an error.
  ///   - pool: who makes the batches of a group side by side; the result does not depend on it.
  ///   - phases: if it is given, the batches so far and what is made of them outlive a process that is killed. If there are any, this
  ///     writer goes on after them: `samples(of:)` says how many samples they hold. The output must keep work.
  ///   - base: the dataset that this one extends: its batches come first in each split, and its files are linked into the output.
  ///     `content` must be its own but for tables with more rows.
  public init(
    to output: PendingOutput, content: DatasetContent, batchSize: Int,
    segmentBytes: Int = DatasetWriter.defaultSegmentBytes,
    rowsPerPartition: Int = DatasetWriter.defaultRowsPerPartition, bagEntries: Int = .max,
    pool: WorkerPool = WorkerPool(threadCount: 1), phases: FinishedPhases? = nil,
    extending base: Dataset? = nil
  ) throws {
    guard (1...Manifest.maximumBatchSize).contains(batchSize) else {
      throw ChanterError(
        .badInput, "the batch size is \(batchSize); it must be 1 to \(Manifest.maximumBatchSize)")
    }
    try content.validate()
    if let base { try content.requireExtends(base, batchSize: batchSize) }
    self.base = base
    self.output = output
    self.content = content
    self.batchSize = batchSize
    self.pool = pool
    let shape = content.shape
    slots = try (0..<Self.groupSize(batchSize: batchSize, threads: pool.threadCount)).map { _ in
      try BatchSlot(
        shape: shape, precision: content.densePrecision, batchSize: batchSize, bagEntries: bagEntries)
    }
    func part(_ split: Split) throws -> SplitWriter {
      try SplitWriter(
        output: output,
        header: SegmentHeader(split: split, number: 0, shape: shape, batchSize: batchSize, firstBatch: 0),
        tables: content.tables, segmentBytes: segmentBytes, rowsPerPartition: rowsPerPartition,
        phases: phases, extending: base)
    }
    train = try part(.train)
    valid = try part(.valid)
    holdout = try part(.holdout)
    guard phases != nil else { return }
    for split in Split.allCases { try writer(of: split).recover(slots[0], tables: content.tables) }
  }

  /// Samples of `split` so far.
  public func samples(of split: Split) -> Int { writer(of: split).samples }

  /// Entries of `split` that are not empty, and those of them without a row of their own.
  public func values(of split: Split) -> (all: Int, unseen: Int) { writer(of: split).values }

  /// As above, with one single-valued feature a table and fp32 dense columns.
  public convenience init(
    to output: PendingOutput, tables: [TableLayout], denseCount: Int, batchSize: Int,
    segmentBytes: Int = DatasetWriter.defaultSegmentBytes,
    rowsPerPartition: Int = DatasetWriter.defaultRowsPerPartition,
    pool: WorkerPool = WorkerPool(threadCount: 1)
  ) throws {
    try self.init(
      to: output, content: DatasetContent(tables: tables, denseCount: denseCount), batchSize: batchSize,
      segmentBytes: segmentBytes, rowsPerPartition: rowsPerPartition, pool: pool)
  }

  /// Appends the next batch of `split`.
  public func append(_ samples: SampleBatch, to split: Split) throws {
    guard (1...batchSize).contains(samples.sampleCount), samples.shape == content.shape else {
      throw ChanterError(.badInput, "a batch of \(samples.sampleCount) samples does not fit this dataset")
    }
    let writer = writer(of: split)
    try slots[0].build(samples, index: writer.batches, tables: content.tables)
    try writer.append(slots[0])
  }

  /// Appends the next `count` batches of `split`, several side by side.
  /// - Parameters:
  ///   - fill: fills the samples of batch `index` of the `count`; called from the pool, in no order.
  ///   - complete: called after it for each batch, in order and one after the other.
  public func append(
    _ count: Int, to split: Split,
    fill: (_ index: Int, _ samples: SampleBatch, _ worker: Int) throws -> Void,
    complete: ((_ index: Int) throws -> Void)? = nil
  ) throws {
    let writer = writer(of: split)
    for first in stride(from: 0, to: count, by: slots.count) {
      let group = min(slots.count, count - first)
      let base = writer.batches
      if let complete {
        try BatchSlot.run(slots, group, on: pool) { task, slot, worker in
          try fill(first + task, slot.samples, worker)
        }
        for task in 0..<group { try complete(first + task) }
      }
      try BatchSlot.run(slots, group, on: pool) { task, slot, worker in
        if complete == nil { try fill(first + task, slot.samples, worker) }
        try slot.build(slot.samples, index: base + task, tables: content.tables)
      }
      for slot in slots[..<group] { try writer.append(slot) }
    }
  }

  /// Returns once all batches so far are on the disk, in the temporary files that outlive this process if there are any.
  public func synchronize() throws {
    for split in Split.allCases { try writer(of: split).synchronize() }
  }

  /// Batches that `append` makes side by side; more in one call gain nothing.
  public var groupSize: Int { slots.count }

  /// Small batches go in larger groups, so that handing them out costs little.
  private static func groupSize(batchSize: Int, threads: Int) -> Int {
    max(threads, min(8 * threads, 16_384 / batchSize))
  }

  /// Memory of a writer beside rows: what a group is made in, with room for the frames before and after
  /// compression.
  /// - Parameter bagEntries: the most entries that the bags of a batch have.
  public static func bytes(shape: SampleShape, batchSize: Int, bagEntries: Int, threads: Int) -> Int {
    let layout = BatchBuilder.layout(shape: shape, capacity: batchSize, bagEntries: bagEntries)
    let raw = FrameShape.maximumRawBytes(
      shape, samples: batchSize, unique: layout.maximumUniqueRows, entries: layout.maximumEntries)
    let samples = SampleBatch.bytes(shape: shape, capacity: batchSize) + 12 * bagEntries
    let slot =
      layout.bytes + samples + BatchBuilder.bytes(of: layout) + BatchEncoder.bytes(of: layout)
      + 8 * layout.maximumUniqueRows + 4 * raw
    return groupSize(batchSize: batchSize, threads: threads) * slot + SegmentWriter.bytes + WindowUnions.bytes
      + Split.allCases.count * NextUsePass.bytes(uniqueRows: layout.maximumUniqueRows)
  }

  private func writer(of split: Split) -> SplitWriter {
    switch split {
    case .train: train
    case .valid: valid
    case .holdout: holdout
    }
  }

  /// What `finish` does, one after the other.
  public enum FinishingStep: Sendable {
    case nextUses
    /// Told if an earlier process wrote so many: they are not written again.
    case kept
    case writing
  }

  /// Computes the hints, writes everything, and gives the output its final name.
  /// - Parameters:
  ///   - vocabularyIdentity: identity of a vocabulary that was written to `output` with `VocabularyWriter`; nil if
  ///     there is none: the identity is then made of the tables' names and rows.
  ///   - earlierVocabularies: identities of those that it extends, each the parent of the next; none where the dataset extends
  ///     another, which knows its own.
  ///   - progress: called after each group with the batches done in this step, and all batches.
  public func finish(
    vocabularyIdentity: String? = nil, earlierVocabularies: [String] = [],
    progress: (_ step: FinishingStep, _ done: Int, _ total: Int) throws -> Void = { _, _, _ in }
  ) throws -> Manifest {
    let total = train.batches + valid.batches + holdout.batches
    var traced = 0
    for split in Split.allCases {
      let writer = writer(of: split)
      try writer.trace(slots, on: pool) { try progress(.nextUses, traced + $0, total) }
      traced += writer.batches
    }
    let vocabulary = vocabularyIdentity ?? identityWithoutVocabulary()
    var batching = Fingerprint()
    batching.update("chanter batching 3")
    if let base { batching.update(base.manifest.batchingIdentity) }
    batching.update(vocabulary)
    batching.update(UInt64(batchSize))
    batching.update(UInt64(content.denseCount))
    for feature in content.features {
      batching.update(UInt64(feature.name.utf8.count))
      batching.update(feature.name)
      batching.update(UInt64(feature.table) << 1 | (feature.isBag ? 1 : 0))
    }
    var parts: [Split: SplitManifest] = [:]
    var done = 0
    for split in Split.allCases {
      let (part, fingerprint) = try writer(of: split).finish(slots, on: pool) { step, batches in
        try progress(step, done + batches, total)
      }
      batching.update(UInt64(part.samples - (base?.manifest.split(split).samples ?? 0)))
      batching.update(fingerprint)
      parts[split] = part
      done += part.batches - (base?.manifest.split(split).batches ?? 0)
    }
    let manifest = Manifest(
      content: content, batchSize: batchSize, vocabularyIdentity: vocabulary,
      earlierVocabularies: base?.manifest.earlierVocabularies ?? earlierVocabularies,
      batchingIdentity: batching.hex,
      hasVocabulary: vocabularyIdentity != nil, train: parts[.train] ?? SplitManifest(),
      valid: parts[.valid] ?? SplitManifest(), holdout: parts[.holdout] ?? SplitManifest(),
      ancestors: base?.manifest.parts ?? [])
    try linkSegmentsOfBase()
    let sealed = try manifest.write(to: output.file(Manifest.fileName))
    try output.publish()
    return sealed
  }

  /// The old segments are those of the new dataset as they are: nothing in them depends on what comes after.
  private func linkSegmentsOfBase() throws {
    guard let base else { return }
    for split in Split.allCases {
      for number in base.manifest.split(split).segments.indices {
        let name = SegmentFormat.fileName(split, number)
        // Linked already by a process that was killed.
        File.remove(output.file(name))
        try File.duplicate("\(base.path)/\(name)", as: output.file(name))
      }
    }
  }

  private func identityWithoutVocabulary() -> String {
    var fingerprint = Fingerprint()
    fingerprint.update("chanter rows without values 1")
    for table in content.tables {
      fingerprint.update(UInt64(table.name.utf8.count))
      fingerprint.update(table.name)
      fingerprint.update(UInt64(table.rows))
    }
    return fingerprint.hex
  }
}
