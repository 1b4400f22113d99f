import BatchStore
import Primitives

/// Makes a dataset of the samples of another one with other batches, without the log that they came from.
///
/// Row numbers stay what they are, and with them the identity of the vocabulary: a model trained on the one dataset can
/// be scored on the other; unless `options.renumbers` asks for those that preprocessing would give in the new order. The batching is new, so that an unfinished training cannot go on there. Next uses and first
/// touches are those of the new batches. Splits stay apart; a shuffle is of the training split alone, an order by time of each.
///
/// Memory stays below `options.memory`. On any error nothing named `options.output` exists, and what was begun is removed.
/// - Parameters:
///   - notice: called with what a user should know.
///   - progress: called several times a second.
public func rebatch(
  _ options: RebatchOptions, notice: (String) -> Void = { _ in },
  progress: @escaping (RebatchProgress) throws -> Void = { _ in }
) throws -> RebatchReport {
  try options.validate()
  let dataset = try Dataset(opening: options.dataset)
  let manifest = dataset.manifest
  let memory = try RebatchMemory(options, dataset)
  if memory.threads < options.threads {
    notice("--memory serves \(memory.threads) of \(options.threads) threads")
  }
  let output = try PendingOutput(options.output)
  let pool = WorkerPool(threadCount: memory.threads)
  if options.renumbers, !manifest.hasVocabulary {
    throw ChanterError(
      .badInput,
      "it was written from row numbers and has no values that could be numbered anew; leave out --renumber",
      path: options.dataset)
  }
  if options.ordersByTime, !manifest.hasTimes {
    throw ChanterError(
      .badInput,
      "its samples have no times; preprocess the log with a schema that has a column of `type: time`, or leave out --by-time",
      path: options.dataset)
  }
  var order: [Split: SampleSpool] = [:]
  func sort(_ split: Split) throws {
    guard options.ordersByTime || split == .train && options.shuffleSeed != nil,
      manifest.split(split).samples > 1
    else { return }
    order[split] = try sorted(dataset, split, options, memory, in: output.directory, pool, progress)
  }
  func source(_ split: Split) throws -> any SampleSource {
    if let spool = order[split] { return try SampleSpoolReader(spool) }
    return try DatasetSamples(dataset, split)
  }
  // All of them before the writer takes its memory.
  for split in Split.allCases { try sort(split) }
  var renumbering: Renumbering?
  if options.renumbers {
    renumbering = try Renumbering(
      dataset, training: source(.train), chunkSamples: options.batchSize, directory: output.directory,
      path: output.file(VocabularyFile.fileName), memory: memory.renumberBytes, progress)
  }
  let identity = try renumbering?.identity ?? copyVocabulary(of: dataset, to: output, progress)
  let writer = try DatasetWriter(
    to: output, content: manifest.content, batchSize: options.batchSize, segmentBytes: options.segmentBytes,
    rowsPerPartition: memory.rowsPerPartition, bagEntries: memory.bagEntries, pool: pool)
  var done = 0
  for split in Split.allCases {
    let sources = try (0..<pool.threadCount).map { _ in try source(split) }
    let samples = manifest.split(split).samples
    let size = options.batchSize
    for first in stride(from: 0, to: samples, by: writer.groupSize * size) {
      let end = min(samples, first + writer.groupSize * size)
      try writer.append((end - first + size - 1) / size, to: split) { index, batch, worker in
        let from = first + index * size
        try sources[worker].read(from..<min(end, from + size), into: batch)
        renumbering?.apply(to: batch)
      }
      try progress(RebatchProgress(phase: .encoding, done: done + end, total: manifest.samples))
    }
    done += samples
    // The sorted samples are not needed any more, nor is their place on the disk.
    order[split] = nil
  }
  let made = try writer.finish(
    vocabularyIdentity: identity, earlierVocabularies: options.renumbers ? [] : manifest.vocabularyAncestors
  ) {
    try progress(RebatchProgress(phase: .nextUses, done: $0, total: $1))
  }
  let vocabularyBytes =
    made.hasVocabulary ? try File(reading: "\(output.path)/\(VocabularyFile.fileName)").size() : 0
  return RebatchReport(
    manifest: made,
    bytes: Split.allCases.flatMap { made.split($0).segments }.reduce(vocabularyBytes) { $0 + $1.bytes })
}

private func sorted(
  _ dataset: Dataset, _ split: Split, _ options: RebatchOptions, _ memory: RebatchMemory,
  in directory: String, _ pool: WorkerPool, _ progress: @escaping (RebatchProgress) throws -> Void
) throws -> SampleSpool {
  let part = dataset.manifest.split(split)
  let shape = dataset.manifest.shape
  let source = try DatasetSamples(dataset, split)
  let order =
    try options.shuffleSeed.map(SampleOrder.shuffled)
    ?? .byTime(source, samples: part.samples, shape: shape, chunkSamples: options.batchSize)
  let sorter = try SampleSorter(
    order, samples: part.samples, shape: shape, chunkSamples: options.batchSize, directory: directory,
    memory: memory.shuffleBytes, pool: pool, progress: progress)
  // No batch has more entries than the richest.
  let entries = shape.bagCount == 0 ? 0 : part.maximumEntries * part.batches
  return try sorter.run(source, entries: entries)
}

/// Writes the same vocabulary to `output`, value by value, which checks every byte of it.
/// - Returns: its identity; nil if the dataset has none.
private func copyVocabulary(
  of dataset: Dataset, to output: PendingOutput, _ progress: (RebatchProgress) throws -> Void
) throws -> String? {
  let manifest = dataset.manifest
  guard manifest.hasVocabulary else { return nil }
  let reader = try VocabularyReader(dataset.vocabularyPath)
  let writer = try VocabularyWriter(
    output.file(VocabularyFile.fileName), tableCount: manifest.tables.count, parent: reader.parent,
    hashRows: reader.hashRows)
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
