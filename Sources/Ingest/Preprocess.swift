import BatchStore
import Primitives

/// Turns logs into a dataset.
///
/// The inputs are read once. Reading numbers the values of every column in order of first appearance and leaves the
/// samples in a temporary file; where the training part ends is known then, and with it the rows; so each sample is
/// read back, its numbers become rows, and batches are made. Memory grows with distinct values, never with samples, and stays
/// below `options.memory`; the result does not depend on the threads or the memory.
///
/// With `options.base` the result is that dataset with what these inputs add to it as one more part: its rows keep their numbers and
/// its files are linked; values that it lacks get the rows after its own.
///
/// A process that is killed leaves its work beside the output, under `OUT.partial`; the same call goes on from there and makes
/// the same bytes. On any error nothing named `options.output` exists and what was begun is removed.
/// - Parameters:
///   - notice: called with what a user should know, such as why an earlier run is not continued.
///   - progress: called several times a second; throwing from it stops the run as a kill does: its work stays.
public func preprocess(
  _ options: PreprocessOptions, notice: (String) -> Void = { _ in },
  progress show: (PreprocessProgress) throws -> Void = { _ in }
) throws -> PreprocessReport {
  try options.validate()
  let given = options
  let memory = try PreprocessMemory(options, options.schema.layout)
  let work = try PreprocessWork(options)
  if memory.threads < options.threads {
    notice("--memory serves \(memory.threads) of \(options.threads) threads")
  }
  if let restart = work.restart { notice("starting over: \(restart)") }
  if work.isContinued { notice("going on where an earlier run stopped") }
  try work.requireSpace(beside: options.bytesOfBase(in: work.output))
  func progress(_ step: PreprocessProgress) throws {
    do { try show(step) } catch {
      work.output.leave()
      throw error
    }
  }
  let pool = WorkerPool(threadCount: memory.threads)
  var arrangement: Arrangement?
  var options = options
  if Arrangement.isNeeded(given) {
    // Made again by a run that goes on: the same text, in which the marks of the earlier run hold.
    let made = try Arrangement(
      given, directory: work.output.directory, memory: memory, pool: pool, progress)
    options = given.reading(made)
    arrangement = made
  }
  let parser = try options.schema.parser(predicts: false, precision: options.densePrecision)
  let layout = parser.layout
  var numbered = try work.read(SpilledNumbering.self, .numbering)
  let rule = NumberingRule(minimumCount: options.minimumCount, maximumRows: options.maximumRows)

  let reading = try LogReading(options, parser, memory: memory, work: work, pool: pool)
  try reading.run(progress)
  arrangement?.remove()
  let spool = reading.spool
  let ranges = SplitRanges(
    arrangement?.samplesByPart ?? reading.samplesByPart, holdout: options.holdout, valid: options.validShare)
  let training = ranges.train.upperBound
  let statistics = try DenseStatistics(spool, training: training, of: options.schema)
  if numbered == nil {
    try reading.hold(from: training)
    if reading.tables.contains(where: { $0.spilled != nil }) {
      try SpilledNumbering.make(
        reading.tables, rule, training: training, memory: memory,
        parent: options.base?.manifest.vocabularyIdentity, hashRows: options.hashRows, work: work, pool,
        progress)
      numbered = try work.read(SpilledNumbering.self, .numbering)
    }
  }
  let numbering: FinalNumbering
  let spilled: [StreamReader?]
  let identity = Monitor("")
  var vocabulary: NamedThread?
  var thresholds = ThresholdCounts()
  if let numbered {
    (numbering, spilled) = try numbered.load(work)
    thresholds = numbered.thresholds
    identity.update { $0 = numbered.identity }
  } else {
    numbering = FinalNumbering(reading.tables, rule, pool)
    spilled = numbering.tables.map { _ in nil }
    for table in reading.tables { thresholds.add(table.counter.statistics) }
    nonisolated(unsafe) let tables = reading.tables
    let (layouts, order, path) = (numbering.tables, numbering.order, work.file(.vocabulary))
    let (parent, hashRows) = (options.base?.manifest.vocabularyIdentity, options.hashRows)
    // Written while the samples are encoded: both only read the counters.
    vocabulary = NamedThread("vocabulary") {
      File.remove(path)
      let made = try writeVocabulary(tables, layouts, order, parent: parent, hashRows: hashRows, to: path)
      identity.update { $0 = made }
    }
  }
  let encoded = Result {
    var content = DatasetContent(
      tables: numbering.tables, features: layout.features, denseCount: layout.denseCount)
    content.hasWeights = layout.hasWeights
    content.hasTimes = layout.hasTimes
    content.schema = try statistics.schema.json()
    content.densePrecision = options.densePrecision
    let writer = try DatasetWriter(
      to: work.output, content: content, batchSize: options.batchSize, segmentBytes: options.segmentBytes,
      rowsPerPartition: memory.rowsPerPartition, bagEntries: memory.bagEntries, pool: pool, keepsWork: true,
      extending: options.base)
    let encoding = Encoding(
      spool: spool, numbering: numbering, spilled: spilled, statistics: statistics, layout: layout,
      precision: options.densePrecision, pool: pool
    )
    try encoding.run(ranges.all, to: writer) {
      try progress(PreprocessProgress(phase: .encoding, done: $0, total: spool.sampleCount))
    }
    return writer
  }
  if let failure = vocabulary?.join() { throw failure }
  let writer = try encoded.get()
  try File.duplicate(work.file(.vocabulary), as: work.output.file(VocabularyFile.fileName))
  let values = writer.values(of: .holdout)
  let manifest = try writer.finish(vocabularyIdentity: identity.update { $0 }) { done, total in
    try progress(PreprocessProgress(phase: .nextUses, done: done, total: total))
  }
  let segmentBytes = Split.allCases.flatMap { manifest.split($0).segments }.reduce(0) { $0 + $1.bytes }
  return PreprocessReport(
    manifest: manifest, holdoutValues: values.all, holdoutUnseen: values.unseen,
    skipped: arrangement?.skipped ?? reading.skipped, thresholds: thresholds,
    bytes: try File(reading: "\(work.output.path)/\(VocabularyFile.fileName)").size() + segmentBytes)
}

private func writeVocabulary(
  _ tables: [TableValues], _ layouts: [TableLayout], _ order: [[UInt32]], parent: String?, hashRows: Int?,
  to path: String
) throws -> String {
  let writer = try VocabularyWriter(path, tableCount: tables.count, parent: parent, hashRows: hashRows)
  for (table, layout) in layouts.enumerated() {
    let counter = tables[table].counter
    try writer.beginTable(layout)
    for known in 0..<counter.known { try writer.append(counter.value(UInt32(known))) }
    for number in order[table] { try writer.append(counter.value(number)) }
  }
  return try writer.finish()
}
