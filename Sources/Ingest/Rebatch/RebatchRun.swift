import BatchStore
import Primitives

/// From a dataset to batches: order, numbering, encoding. What an earlier run did of it is not done again.
final class RebatchRun {
  let options: RebatchOptions
  private let dataset: Dataset
  var manifest: Manifest { dataset.manifest }
  private let memory: RebatchMemory
  let work: RunWork
  private let pool: WorkerPool
  let notice: (String) -> Void
  let progress: (RebatchProgress) throws -> Void
  /// Samples in their new order, from when they are needed until they lie in batches.
  private var ordered: [Split: SampleSpool] = [:]

  init(
    options: RebatchOptions, dataset: Dataset, memory: RebatchMemory, work: RunWork, pool: WorkerPool,
    notice: @escaping (String) -> Void, progress: @escaping (RebatchProgress) throws -> Void
  ) {
    self.options = options
    self.dataset = dataset
    self.memory = memory
    self.work = work
    self.pool = pool
    self.notice = notice
    self.progress = progress
  }

  /// A phase and the work file that it leaves.
  private static func ordered(_ split: Split) -> String { "ordered-\(split.rawValue)" }
  private static func encoded(_ split: Split) -> String { "encoded-\(split.rawValue)" }

  private struct Count: Codable {
    var samples: Int
  }

  /// The samples of `split` in the order in which they go to batches.
  private func source(_ split: Split) throws -> any SampleSource {
    guard options.ordersByTime || split == .train && options.shuffleSeed != nil,
      manifest.split(split).samples > 1
    else { return try DatasetSamples(dataset, split) }
    let spool = try ordered[split] ?? keptOrder(split) ?? order(split)
    ordered[split] = spool
    return try SampleSpoolReader(spool)
  }

  private func keptOrder(_ split: Split) throws -> SampleSpool? {
    let name = Self.ordered(split)
    guard let count: Count = work.phases.state(of: name),
      let spool = try? SampleSpool.recover(
        work.phases.file(name), in: work.output.directory, shape: manifest.shape,
        chunkSamples: options.batchSize, value: { _, _ in })?.spool, spool.sampleCount == count.samples
    else { return nil }
    notice("kept: the order of \(count.samples) samples")
    return spool
  }

  private func order(_ split: Split) throws -> SampleSpool {
    let part = manifest.split(split)
    let shape = manifest.shape
    let source = try DatasetSamples(dataset, split)
    let order =
      try options.shuffleSeed.map(SampleOrder.shuffled)
      ?? .byTime(source, samples: part.samples, shape: shape, chunkSamples: options.batchSize)
    let name = Self.ordered(split)
    let sorter = try SampleSorter(
      order, samples: part.samples, shape: shape, chunkSamples: options.batchSize,
      path: work.phases.file(name), directory: work.output.directory, memory: memory.shuffleBytes, pool: pool,
      progress: progress)
    // No batch has more entries than the richest.
    let entries = shape.bagCount == 0 ? 0 : part.maximumEntries * part.batches
    let spool = try sorter.run(source, entries: entries)
    try work.phases.end(name, Count(samples: spool.sampleCount), records: [name])
    return spool
  }

  /// Writes the vocabulary of the result, if it has one, and finds the new numbers of rows where they get some.
  func vocabulary() throws -> (identity: String?, renumbering: Renumbering?) {
    guard manifest.hasVocabulary else { return (nil, nil) }
    if let identity: String = work.state(of: .vocabulary) {
      notice("kept: the vocabulary")
      return (
        identity,
        options.renumbers ? try Renumbering(manifest, numbers: File(reading: work.file(.rows))) : nil
      )
    }
    work.remove(.vocabulary, .rows)
    guard options.renumbers else {
      let identity = try copyVocabulary(of: dataset, to: work.file(.vocabulary), progress)
      try work.end(.vocabulary, identity, files: [.vocabulary])
      return (identity, nil)
    }
    let numbers = try File(creating: work.file(.rows))
    let identity = try Renumbering.make(
      dataset, training: source(.train), chunkSamples: options.batchSize, directory: work.output.directory,
      path: work.file(.vocabulary), numbers: numbers, memory: memory.renumberBytes, progress)
    try work.end(.vocabulary, identity, files: [.vocabulary, .rows])
    return (identity, try Renumbering(manifest, numbers: numbers))
  }

  /// - Returns: the writer that has all batches.
  func encode(_ vocabulary: (identity: String?, renumbering: Renumbering?)) throws -> DatasetWriter {
    // All of them before the writer takes its memory.
    for split in Split.allCases where work.phases.state(of: Self.encoded(split), Count.self) == nil {
      _ = try source(split)
    }
    let writer = try DatasetWriter(
      to: work.output, content: manifest.content, batchSize: options.batchSize,
      segmentBytes: options.segmentBytes, rowsPerPartition: memory.rowsPerPartition,
      bagEntries: memory.bagEntries, pool: pool, phases: work.phases)
    let kept = Split.allCases.reduce(0) { $0 + writer.samples(of: $1) }
    if kept > 0 { notice("kept: \(kept) samples encoded") }
    var done = 0
    for split in Split.allCases {
      let samples = manifest.split(split).samples
      let start = writer.samples(of: split)
      if start < samples {
        let sources = try (0..<pool.threadCount).map { _ in try source(split) }
        let size = options.batchSize
        for first in stride(from: start, to: samples, by: writer.groupSize * size) {
          let end = min(samples, first + writer.groupSize * size)
          try writer.append((end - first + size - 1) / size, to: split) { index, batch, worker in
            let from = first + index * size
            try sources[worker].read(from..<min(end, from + size), into: batch)
            vocabulary.renumbering?.apply(to: batch)
          }
          try progress(RebatchProgress(phase: .encoding, done: done + end, total: manifest.samples))
        }
      }
      // Also where an earlier run was killed between its last batch and the note.
      try writer.synchronize()
      try work.phases.end(Self.encoded(split), Count(samples: samples))
      done += samples
      // The ordered samples are not needed any more, nor is their place on the disk.
      ordered[split] = nil
      File.remove(work.phases.file(Self.ordered(split)))
    }
    return writer
  }
}

/// Writes the same vocabulary to `path`, value by value, which checks every byte of it.
/// - Returns: its identity.
private func copyVocabulary(
  of dataset: Dataset, to path: String, _ progress: (RebatchProgress) throws -> Void
) throws -> String {
  let manifest = dataset.manifest
  let reader = try VocabularyReader(dataset.vocabularyPath)
  let writer = try VocabularyWriter(
    path, tableCount: manifest.tables.count, parent: reader.parent, hashRows: reader.hashRows)
  let total = manifest.tables.reduce(0) { $0 + Int($1.rows) }
  var done = 0
  for expected in manifest.tables {
    guard let table = try reader.nextTable(), table == expected else { throw foreignVocabulary(dataset) }
    try writer.beginTable(table)
    while let value = try reader.nextValue() {
      try writer.append(value)
      done += 1
      if done % (1 << 16) == 0 { try progress(RebatchProgress(phase: .vocabulary, done: done, total: total)) }
    }
  }
  guard try reader.nextTable() == nil, try reader.finish() == manifest.vocabularyIdentity else {
    throw foreignVocabulary(dataset)
  }
  return try writer.finish()
}
