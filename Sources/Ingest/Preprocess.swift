import BatchStore
import Primitives

/// Turns logs into a dataset.
///
/// The inputs are read once. Reading numbers the values of every column in order of first appearance and leaves the
/// samples in a temporary file; where the training part ends is known then, and with it the rows; so each sample is
/// read back, its numbers become rows, and batches are made. Memory grows with distinct values, never with samples, and stays below `options.memory`; the
/// result does not depend on the threads or the memory. On any error nothing named `options.output` exists and what was begun is
/// removed.
/// - Parameter progress: called several times a second; throwing from it stops the run.
public func preprocess(
  _ options: PreprocessOptions, progress: (PreprocessProgress) throws -> Void = { _ in }
) throws -> PreprocessReport {
  try options.validate()
  let output = try PendingOutput(options.output)
  let pool = WorkerPool(threadCount: options.threads)
  let given = options
  let memory = try PreprocessMemory(options, options.schema.layout)
  var arrangement: Arrangement?
  var options = options
  if Arrangement.isNeeded(given) {
    let made = try Arrangement(
      given, directory: output.directory, runBytes: memory.runBytes, pool: pool, progress)
    options = given.reading(made)
    arrangement = made
  }
  let parser = try options.schema.parser(predicts: false)
  let layout = parser.layout
  let reading = try LogReading(options, parser, memory: memory, directory: output.directory, pool: pool)
  let free = try File.freeBytes(in: output.directory)
  guard reading.diskBytes <= free else {
    throw ChanterError(
      .io,
      "about \(ByteSize.format(reading.diskBytes)) are needed here for temporary files and the result, \(ByteSize.format(free)) are free; make room, or put the output on a larger disk",
      path: output.path)
  }
  try reading.run(progress)
  arrangement?.remove()
  let ranges = SplitRanges(
    arrangement?.samplesByPart ?? reading.samplesByPart, holdout: options.holdout, valid: options.validShare)
  let training = ranges.train.upperBound
  try reading.forget(from: training)
  let statistics = try DenseStatistics(reading.spool, training: training, of: options.schema)

  let vocabularyPath = output.file(VocabularyFile.fileName)
  let numbering: FinalNumbering
  let identity = Monitor("")
  var vocabulary: NamedThread?
  if let spilled = reading.spilled {
    let parts = SpilledValues.partitionCount
    func numbered(_ done: Int) throws {
      try progress(PreprocessProgress(phase: .numbering, done: done, total: 2 * parts))
    }
    try spilled.count(training: training, minimumCount: options.minimumCount, numbered)
    let merged = try FinalNumbering.merging(
      reading.counters, layout.tableNames, spilled, minimumCount: options.minimumCount, to: vocabularyPath
    ) { try numbered(parts + $0) }
    numbering = merged.numbering
    identity.update { $0 = merged.identity }
  } else {
    numbering = FinalNumbering(reading.counters, layout.tableNames, minimumCount: options.minimumCount, pool)
    nonisolated(unsafe) let counters = reading.counters
    let order = numbering.order
    // Written while the samples are encoded: both only read the counters.
    vocabulary = NamedThread("vocabulary") {
      let made = try writeVocabulary(counters, layout.tableNames, order, to: vocabularyPath)
      identity.update { $0 = made }
    }
  }
  let encoded = Result {
    var content = DatasetContent(
      tables: numbering.tables, features: layout.features, denseCount: layout.denseCount)
    content.densePrecision = options.densePrecision
    content.hasWeights = layout.hasWeights
    content.schema = try statistics.schema.json()
    let writer = try DatasetWriter(
      to: output, content: content, batchSize: options.batchSize, segmentBytes: options.segmentBytes,
      rowsPerPartition: memory.rowsPerPartition, bagEntries: memory.bagEntries, pool: pool)
    let values = try encode(
      reading.spool, numbering, reading.spilled.map(SpilledRows.init), ranges, statistics, to: writer,
      threads: pool.threadCount
    ) {
      try progress(PreprocessProgress(phase: .encoding, done: $0, total: reading.spool.sampleCount))
    }
    return (writer, values)
  }
  if let failure = vocabulary?.join() { throw failure }
  let (writer, values) = try encoded.get()
  let manifest = try writer.finish(vocabularyIdentity: identity.update { $0 }) { done, total in
    try progress(PreprocessProgress(phase: .nextUses, done: done, total: total))
  }
  let segmentBytes = Split.allCases.flatMap { manifest.split($0).segments }.reduce(0) { $0 + $1.bytes }
  return PreprocessReport(
    manifest: manifest, holdoutValues: values.unseen + values.known, holdoutUnseen: values.unseen,
    skipped: arrangement?.skipped ?? reading.skipped,
    bytes: try File(reading: "\(output.path)/\(VocabularyFile.fileName)").size() + segmentBytes)
}

private func writeVocabulary(
  _ counters: [ValueCounter], _ names: [String], _ order: [[UInt32]], to path: String
) throws -> String {
  let writer = try VocabularyWriter(path, tableCount: counters.count)
  for (table, name) in names.enumerated() {
    try writer.beginTable(
      TableLayout(name: name, rows: UInt32(order[table].count + Vocabulary.reservedRows)))
    for number in order[table] { try writer.append(counters[table].value(number)) }
  }
  return try writer.finish()
}

/// Makes the batches of both splits.
/// - Returns: held-out values without and with a row of their own, empty ones left out.
private func encode(
  _ spool: SampleSpool, _ numbering: FinalNumbering, _ spilled: SpilledRows?, _ ranges: SplitRanges,
  _ statistics: DenseStatistics, to writer: DatasetWriter, threads: Int,
  _ progress: (_ samples: Int) throws -> Void
) throws -> (unseen: Int, known: Int) {
  let readers = try (0..<threads).map { _ in try SampleSpoolReader(spool) }
  var unseen = 0
  var known = 0
  for (split, range) in ranges.all {
    let group = writer.groupSize * spool.chunkSamples
    for first in stride(from: range.lowerBound, to: range.upperBound, by: group) {
      let end = min(range.upperBound, first + group)
      let batches = (end - first + spool.chunkSamples - 1) / spool.chunkSamples
      var counts = [(unseen: Int, known: Int)](repeating: (0, 0), count: batches)
      try spilled?.load(first..<end, batchSize: spool.chunkSamples)
      try counts.withUnsafeMutableBufferPointer { counts in
        try writer.append(batches, to: split) { index, samples, worker in
          let start = first + index * spool.chunkSamples
          try readers[worker].read(start..<min(end, start + spool.chunkSamples), into: samples)
          statistics.apply(to: samples)
          counts[index] = renumber(samples, numbering.rows)
          let late = spilled?.apply(index, to: samples) ?? 0
          counts[index].unseen -= late
          counts[index].known += late
        }
      }
      if split == .holdout {
        for count in counts {
          unseen += count.unseen
          known += count.known
        }
      }
      try progress(end)
    }
  }
  return (unseen, known)
}

/// Replaces the rows of `samples`.
/// - Returns: values without and with a row of their own, empty ones left out.
private func renumber(_ samples: SampleBatch, _ rows: [[UInt32]]) -> (unseen: Int, known: Int) {
  var unseen = 0
  var known = 0
  var bags = samples.bags.makeIterator()
  for (number, feature) in samples.shape.features.enumerated() {
    let rows = rows[feature.table]
    var column = samples.rows.base + number * samples.capacity
    var count = samples.sampleCount
    if feature.isBag, let bag = bags.next() {
      column = bag.rows
      count = bag.entryCount(of: count)
    }
    for entry in 0..<count {
      let row = rows[Int(column[entry])]
      column[entry] = row
      unseen += row == Vocabulary.unseenRow ? 1 : 0
      known += row > Vocabulary.emptyRow ? 1 : 0
    }
  }
  return (unseen, known)
}
