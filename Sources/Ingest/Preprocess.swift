import BatchStore
import Primitives

/// Turns Criteo TSV into a dataset.
///
/// The inputs are read once. Reading numbers the values of every column in order of first appearance and leaves the
/// samples in a temporary file; where the training part ends is known then, and with it the rows; so each sample is
/// read back, its numbers become rows, and batches are made. Memory grows with distinct values, never with samples; the
/// result does not depend on the threads. On any error nothing named `options.output` exists and what was begun is
/// removed.
/// - Parameter progress: called several times a second; throwing from it stops the run.
public func preprocess(
  _ options: PreprocessOptions, progress: (PreprocessProgress) throws -> Void = { _ in }
) throws -> PreprocessReport {
  try options.validate()
  let output = try PendingOutput(options.output)
  let pool = WorkerPool(threadCount: options.threads)
  let reading = try LogReading(options, directory: output.directory, pool: pool)
  try reading.run(progress)
  let training = reading.spool.sampleCount - heldOut(of: reading.spool.sampleCount, share: options.holdout)
  try reading.forget(from: training)

  let numbering = FinalNumbering(reading.counters, minimumCount: options.minimumCount, pool)
  let vocabularyPath = output.file(VocabularyFile.fileName)
  let identity = Monitor("")
  nonisolated(unsafe) let counters = reading.counters
  let order = numbering.order
  // Written while the samples are encoded: both only read the counters.
  let vocabulary = NamedThread("vocabulary") {
    let made = try writeVocabulary(counters, order, to: vocabularyPath)
    identity.update { $0 = made }
  }
  let writer = try DatasetWriter(
    to: output, tables: numbering.tables, denseCount: CriteoLayout.integerCount, batchSize: options.batchSize,
    segmentBytes: options.segmentBytes, pool: pool)
  let encoded = Result {
    try encode(reading.spool, numbering, training: training, to: writer, threads: pool.threadCount) {
      try progress(PreprocessProgress(phase: .encoding, done: $0, total: reading.spool.sampleCount))
    }
  }
  if let failure = vocabulary.join() { throw failure }
  let values = try encoded.get()
  let manifest = try writer.finish(vocabularyIdentity: identity.update { $0 }) { done, total in
    try progress(PreprocessProgress(phase: .nextUses, done: done, total: total))
  }
  let segmentBytes = (manifest.train.segments + manifest.holdout.segments).reduce(0) { $0 + $1.bytes }
  return PreprocessReport(
    manifest: manifest, holdoutValues: values.unseen + values.known, holdoutUnseen: values.unseen,
    skipped: reading.skipped,
    bytes: try File(reading: "\(output.path)/\(VocabularyFile.fileName)").size() + segmentBytes)
}

/// Samples that are held out: `share` of them rounded down, where a product that is whole but for its last bits (0.29 of
/// 100) counts as whole.
func heldOut(of samples: Int, share: Double) -> Int {
  min(samples - 1, Int((Double(samples) * share * (1 + 1e-12)).rounded(.down)))
}

/// The row of every value, known once the training part is.
private struct FinalNumbering {
  let tables: [TableLayout]
  /// By table: numbers of first appearance in row order from row 2 on.
  let order: [[UInt32]]
  /// By table: the row of each provisional row.
  let rows: [[UInt32]]

  init(_ counters: [ValueCounter], minimumCount: Int, _ pool: WorkerPool) {
    var order = [[UInt32]](repeating: [], count: counters.count)
    var rows = order
    order.withUnsafeMutableBufferPointer { order in
      rows.withUnsafeMutableBufferPointer { rows in
        pool.run(counters.count) { table, _ in
          order[table] = counters[table].order(minimumCount: minimumCount)
          rows[table] = counters[table].finalRows(order[table])
        }
      }
    }
    self.order = order
    self.rows = rows
    tables = zip(CriteoLayout.tableNames, order).map { name, order in
      TableLayout(name: name, rows: UInt32(order.count + Vocabulary.reservedRows))
    }
  }
}

private func writeVocabulary(
  _ counters: [ValueCounter], _ order: [[UInt32]], to path: String
) throws -> String {
  let writer = try VocabularyWriter(path, tableCount: counters.count)
  for (table, name) in CriteoLayout.tableNames.enumerated() {
    try writer.beginTable(
      TableLayout(name: name, rows: UInt32(order[table].count + Vocabulary.reservedRows)))
    for number in order[table] { try writer.append(counters[table].value(number)) }
  }
  return try writer.finish()
}

/// Makes the batches of both splits.
/// - Returns: held-out values without and with a row of their own, empty ones left out.
private func encode(
  _ spool: SampleSpool, _ numbering: FinalNumbering, training: Int, to writer: DatasetWriter, threads: Int,
  _ progress: (_ samples: Int) throws -> Void
) throws -> (unseen: Int, known: Int) {
  let readers = try (0..<threads).map { _ in try SampleSpoolReader(spool) }
  var unseen = 0
  var known = 0
  for (split, range) in [(Split.train, 0..<training), (.holdout, training..<spool.sampleCount)] {
    let group = writer.groupSize * spool.chunkSamples
    for first in stride(from: range.lowerBound, to: range.upperBound, by: group) {
      let end = min(range.upperBound, first + group)
      let batches = (end - first + spool.chunkSamples - 1) / spool.chunkSamples
      var counts = [(unseen: Int, known: Int)](repeating: (0, 0), count: batches)
      try counts.withUnsafeMutableBufferPointer { counts in
        try writer.append(batches, to: split) { index, samples, worker in
          let start = first + index * spool.chunkSamples
          try readers[worker].read(start..<min(end, start + spool.chunkSamples), into: samples)
          counts[index] = renumber(samples, numbering.rows)
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
  for (table, rows) in rows.enumerated() {
    let column = samples.rows.base + table * samples.capacity
    for sample in 0..<samples.sampleCount {
      let row = rows[Int(column[sample])]
      column[sample] = row
      unseen += row == Vocabulary.unseenRow ? 1 : 0
      known += row > Vocabulary.emptyRow ? 1 : 0
    }
  }
  return (unseen, known)
}
