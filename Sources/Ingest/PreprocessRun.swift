import BatchStore
import Primitives

/// What is known once all samples of the inputs lie in batches: with these, all that the result is made from.
struct EncodedLog: Codable {
  var content: DatasetContent
  /// Of the vocabulary.
  var identity: String
  var thresholds: ThresholdCounts
  var skipped: SkippedLines
  /// In the order of `Split.allCases`.
  var samples: [Int]
}

/// From the inputs to batches: order, reading, numbering, encoding. What an earlier run did of it is not done again.
struct PreprocessRun {
  let options: PreprocessOptions
  let memory: PreprocessMemory
  let work: RunWork
  let inputBytes: Int?
  let pool: WorkerPool
  let notice: (String) -> Void
  let progress: (PreprocessProgress) throws -> Void

  /// What batches go to.
  private func makeWriter(_ content: DatasetContent) throws -> DatasetWriter {
    let writer = try DatasetWriter(
      to: work.output, content: content, batchSize: options.batchSize, segmentBytes: options.segmentBytes,
      rowsPerPartition: memory.rowsPerPartition, bagEntries: memory.bagEntries, pool: pool,
      phases: work.phases, extending: options.base)
    let kept = Split.allCases.reduce(0) { $0 + writer.samples(of: $1) }
    if kept > 0 { notice("kept: \(kept) samples encoded") }
    return writer
  }

  /// The writer that has all batches of `log`.
  func writer(continuing log: EncodedLog) throws -> DatasetWriter {
    let writer = try makeWriter(log.content)
    guard Split.allCases.map({ writer.samples(of: $0) }) == log.samples else {
      throw ChanterError(.corrupt, "some of the batches are lost", path: work.file(.encoded))
    }
    return writer
  }

  /// The inputs in the order in which they are numbered, if that has to be found.
  private func arrange() throws -> Arrangement? {
    guard Arrangement.isNeeded(options) else { return nil }
    if let kept: Arrangement = work.state(of: .arranged) {
      notice("kept: the order of \(kept.samplesByPart.reduce(0, +)) lines")
      return kept
    }
    work.remove(.arranged)
    let made = try Arrangement(
      options, directory: work.output.directory, path: work.file(.arranged), memory: memory, pool: pool,
      progress)
    try work.end(.arranged, made, files: [.arranged])
    return made
  }

  func encode() throws -> (EncodedLog, DatasetWriter) {
    let arrangement = try arrange()
    let options =
      arrangement.map { self.options.reading($0, path: work.file(.arranged)) } ?? self.options
    let parser = try options.schema.parser(predicts: false, precision: options.densePrecision)
    let layout = parser.layout
    var numbered: SpilledNumbering? = work.state(of: .numbering)
    let rule = NumberingRule(minimumCount: options.minimumCount, maximumRows: options.maximumRows)
    let reading = try LogReading(
      options, parser, memory: memory, work: work,
      inputBytes: arrangement == nil ? inputBytes : File.regularSize(work.file(.arranged)),
      isNumbered: numbered != nil, pool: pool)
    if reading.spool.sampleCount > 0 { notice("kept: \(reading.spool.sampleCount) samples read") }
    try reading.run(progress)
    let spool = reading.spool
    let ranges = SplitRanges(
      arrangement?.samplesByPart ?? reading.samplesByPart, holdout: options.holdout, valid: options.validShare
    )
    let training = ranges.train.upperBound
    let statistics = try DenseStatistics(spool, training: training, of: options.schema)
    if numbered != nil {
      notice("kept: the numbering of values on disk")
    } else {
      try reading.hold(from: training)
      if reading.tables.contains(where: { $0.spilled != nil }) {
        numbered = try SpilledNumbering.make(
          reading.tables, rule, training: training, memory: memory,
          parent: options.base?.manifest.vocabularyIdentity, hashRows: options.hashRows, work: work, pool,
          progress)
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
    var content = DatasetContent(
      tables: numbering.tables, features: layout.features, denseCount: layout.denseCount)
    content.hasWeights = layout.hasWeights
    content.hasTimes = layout.hasTimes
    content.densePrecision = options.densePrecision
    let encoded = Result {
      content.schema = try statistics.schema.json()
      let writer = try makeWriter(content)
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
    let log = EncodedLog(
      content: content, identity: identity.update { $0 }, thresholds: thresholds,
      skipped: arrangement?.skipped ?? reading.skipped, samples: Split.allCases.map { writer.samples(of: $0) }
    )
    try writer.synchronize()
    try work.end(.encoded, log, files: [.vocabulary])
    return (log, writer)
  }
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
