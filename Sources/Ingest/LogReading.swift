import BatchStore
import Primitives

/// Reads the inputs once: numbers their values and leaves the samples in a temporary file.
///
/// Rounds of blocks: the blocks of a round are parsed side by side; then the tables are numbered side by side, each
/// going through the blocks in order, so that a number does not depend on the threads. Now and then the spool gets a mark, from
/// which a run that was killed goes on.
final class LogReading {
  private static let blocksPerThread = 4
  /// Text between two marks: the first, and at most; each takes twice the one before.
  private static let firstMarkBytes = 1 << 20
  private static let mostMarkBytes = 256 << 20

  /// Memory of reading without the values: blocks, chunks that are filled and packed, and the readers of the spool.
  /// - Parameter bagEntries: the most entries that the bags of a chunk have.
  static func bytes(
    _ layout: InputLayout, threads: Int, batchSize: Int, bagEntries: Int, hashRows: Int?
  ) -> Int {
    let blocks = blocksPerThread * threads
    let sampleBytes = SampleBatch.bytes(shape: layout.shape, capacity: 1)
    let chunks = blocks * layout.samplesPerBlock + 2 * batchSize
    let hashed =
      hashRows == nil
      ? 0
      : layout.tableCount
        * HashedColumn.bytes(values: max(layout.samplesPerBlock, layout.bagEntriesPerBlock))
    // The bags of a round's chunks have no more entries than its blocks and the chunk that was begun before them. A chunk grows
    // with the richest; three are filled and packed in turn.
    return 2 * blocks * TextBlock.memory(layout) + hashed + 3 * chunks * sampleBytes
      + 4 * threads * batchSize * sampleBytes + 4 * 12 * blocks * layout.bagEntriesPerBlock
      + (3 * SampleSpool.bytesByBagEntry + threads * (2 * 12 + SampleSpool.bytesByBagEntry)) * bagEntries
  }

  let spool: SampleSpool
  let tables: [TableValues]
  private var account: LineAccount
  var skipped: SkippedLines { account.skipped }
  /// Samples by the part that their input belongs to: training, validation, test.
  private(set) var samplesByPart = [0, 0, 0]
  /// All inputs in order.
  private let inputs: [String]
  /// Holds the uses of values beyond the memory limit, if there are any.
  private var spilledFile: StreamFile?
  private let memory: PreprocessMemory
  private let work: RunWork
  private let inputBytes: Int?
  private let options: PreprocessOptions
  private let pool: WorkerPool
  private var parser: any BlockParser
  private var layout: InputLayout { parser.layout }
  /// The input that is read, and how far.
  private var input = 0
  private var offset = 0
  private var isComplete = false
  private var chunks: [SampleBatch] = []
  private var fullChunks = 0
  /// Samples so far, those of the chunk that is being filled included.
  private var collected = 0

  /// Continues what `work` has, if anything.
  /// - Parameters:
  ///   - inputBytes: of all inputs, if known.
  ///   - isNumbered: whether spilled values have rows; their uses are then gone.
  init(
    _ options: PreprocessOptions, _ parser: any BlockParser, memory: PreprocessMemory, work: RunWork,
    inputBytes: Int?, isNumbered: Bool = false, pool: WorkerPool
  ) throws {
    self.parser = parser
    inputs = options.allInputs
    self.memory = memory
    self.work = work
    self.inputBytes = inputBytes
    self.options = options
    self.pool = pool
    account = LineAccount(options.badLines)
    let tables = parser.layout.tableNames.enumerated().map {
      TableValues($1, number: $0, hashRows: options.hashRows)
    }
    self.tables = tables
    if let base = options.base { try KnownValues(base).load(into: tables, memory: memory) }
    let path = work.file(.samples)
    if let recovered = try SampleSpool.recover(
      path, in: work.output.directory, shape: parser.layout.shape, chunkSamples: options.batchSize,
      value: { table, value in tables[table].restore(value) })
    {
      spool = recovered.spool
      let mark = try ReadingMark(recovered.mark)
      input = mark.input
      offset = mark.offset
      isComplete = mark.isComplete
      account = LineAccount(options.badLines, skipped: mark.skipped, lines: mark.lines)
      samplesByPart = mark.samplesByPart
      collected = spool.sampleCount + recovered.rest.sampleCount
      chunks = [recovered.rest]
      if let states = mark.spilled, !isNumbered {
        try continueSpilling(states, bytes: mark.spilledBytes)
      }
      try requireWhole(ifNumbered: isNumbered)
      try recount(recovered.rest)
    } else {
      spool = try SampleSpool(
        path, in: work.output.directory, shape: parser.layout.shape, chunkSamples: options.batchSize)
      try requireWhole(ifNumbered: isNumbered)
    }
  }

  /// What was read last may be lost with the power, but the rows of spilled values are those of all samples.
  private func requireWhole(ifNumbered isNumbered: Bool) throws {
    guard isNumbered, !isComplete else { return }
    throw ChanterError(.corrupt, "some of the samples are lost", path: work.file(.samples))
  }

  func run(_ progress: (PreprocessProgress) throws -> Void) throws {
    if isComplete { return }
    let roundSize = Self.blocksPerThread * pool.threadCount
    let totalBytes = inputBytes ?? 0
    if offset > 0 { try beginAgain() }
    let reader = try TextReader(
      inputs, layout: layout, blocks: 2 * roundSize, windowBytes: memory.windowBytes, from: (input, offset))
    defer { reader.stop() }
    var round: [TextBlock] = []
    var markBytes = Self.firstMarkBytes
    var unmarked = 0
    while true {
      round.removeAll(keepingCapacity: true)
      while round.count < roundSize, let block = try reader.next() {
        if block.isFirst { try parser.begin(block, path: inputs[block.input]) }
        round.append(block)
      }
      guard let last = round.last else { break }
      pool.run(round.count) { task, _ in parser.parse(round[task]) }
      for block in round { try account.check(block, path: inputs[block.input]) }
      if spilledFile == nil, !hasRoom(for: round) { spilledFile = try spill() }
      try number(round)
      for block in round {
        samplesByPart[options.part(ofInput: block.input)] += block.samples.sampleCount
        try collect(block.samples, path: inputs[block.input])
      }
      try store(fullChunks)
      unmarked += round.reduce(0) { $0 + $1.count }
      if unmarked >= markBytes, try mark(at: last) {
        unmarked = 0
        markBytes = min(2 * markBytes, Self.mostMarkBytes)
      }
      let estimate =
        totalBytes == 0 ? 0 : Int(Double(collected) * Double(totalBytes) / Double(max(1, last.readBytes)))
      try progress(PreprocessProgress(phase: .reading, done: collected, total: max(collected, estimate)))
      for block in round { try reader.giveBack(block) }
    }
    try store(chunks.count { $0.sampleCount > 0 })
    if spool.sampleCount == 0, let first = skipped.first.first {
      throw ChanterError(
        .badInput, "every line is bad; the first: \(first.message)", path: first.path, line: first.line)
    }
    if samplesByPart[0] == 0 {
      throw ChanterError(
        .badInput, "there is no training sample; give a log with at least one", path: inputs[0])
    }
    isComplete = true
    try mark()
  }

  /// Whether the values stay within their share of the memory even if all of these are new.
  private func hasRoom(for round: [TextBlock]) -> Bool {
    tables.reduce(0) { $0 + $1.bytes(adding: round) } <= memory.valueBytes
  }

  /// Shows the parser how the input begins in the middle of which reading goes on.
  private func beginAgain() throws {
    let reader = try TextReader([inputs[input]], layout: layout, blocks: 1)
    defer { reader.stop() }
    if let block = try reader.next() { try parser.begin(block, path: inputs[input]) }
  }

  /// From now on new values go to the disk.
  private func spill() throws -> StreamFile {
    let file = try StreamFile(work.file(.spilled))
    for (number, table) in tables.enumerated() { table.spilled = SpilledTable(file, table: number) }
    return file
  }

  private func continueSpilling(_ states: [SpilledTable.State], bytes: Int) throws {
    let file = try StreamFile(work.file(.spilled), keeping: bytes)
    let streams = try file.streams(SpilledTable.streams * tables.count)
    for (number, table) in tables.enumerated() {
      table.spilled = SpilledTable(file, table: number, continuing: states[number], streams: streams)
    }
    spilledFile = file
  }

  private func number(_ round: [TextBlock]) throws {
    let failures = Failures(tables.count)
    pool.run(tables.count) { table, _ in
      failures.catching(table) {
        var first = collected
        for block in round {
          try tables[table].add(block, firstSample: first)
          first += block.samples.sampleCount
        }
      }
    }
    try failures.rethrow()
  }

  /// Marks the end of `block`.
  /// - Returns: false where reading cannot begin.
  private func mark(at block: TextBlock) throws -> Bool {
    guard let end = block.endOffset else { return false }
    (input, offset) = block.isLast ? (block.input + 1, 0) : (block.input, end)
    try mark()
    return true
  }

  private func mark() throws {
    var mark = ReadingMark()
    mark.isComplete = isComplete
    mark.input = input
    mark.offset = offset
    mark.lines = account.lines
    mark.skipped = skipped
    mark.samplesByPart = samplesByPart
    if let spilledFile {
      mark.spilled = try tables.compactMap { try $0.spilled?.save() }
      mark.spilledBytes = spilledFile.bytes
    }
    for table in tables { try table.note(in: spool) }
    if let rest = chunks.first, rest.sampleCount > 0 { try spool.note(rest) }
    try spool.mark(mark.encoded())
  }

  /// Counts the uses of the values in memory that lie in the spool of a run that was interrupted.
  private func recount(_ rest: SampleBatch) throws {
    try forEachSample(from: 0) { table, samples in
      samples.forEachEntry(of: layout.featuresByTable[table], in: 0..<samples.sampleCount) {
        tables[table].counter.count($0.pointee)
      }
    }
    for (table, features) in layout.featuresByTable.enumerated() {
      rest.forEachEntry(of: features, in: 0..<rest.sampleCount) { tables[table].counter.count($0.pointee) }
    }
  }

  /// Moves the uses of the samples from `first` on out of training: they are held out.
  func hold(from first: Int) throws {
    try forEachSample(from: first) { table, samples in
      samples.forEachEntry(of: layout.featuresByTable[table], in: 0..<samples.sampleCount) {
        tables[table].counter.hold($0.pointee)
      }
    }
  }

  /// Calls `body` for each table with the stored samples from `first` on, piece by piece, tables side by side.
  private func forEachSample(from first: Int, _ body: (_ table: Int, _ samples: SampleBatch) -> Void) throws {
    let size = spool.chunkSamples
    let targets = (0..<2 * pool.threadCount).map { _ in SampleBatch(shape: layout.shape, capacity: size) }
    let readers = try (0..<pool.threadCount).map { _ in try SampleSpoolReader(spool) }
    for start in stride(from: first, to: spool.sampleCount, by: size * targets.count) {
      let count = min(targets.count, (spool.sampleCount - start + size - 1) / size)
      let failures = Failures(count)
      pool.run(count) { task, worker in
        let from = start + task * size
        failures.catching(task) {
          try readers[worker].read(from..<min(from + size, spool.sampleCount), into: targets[task])
        }
      }
      try failures.rethrow()
      pool.run(tables.count) { table, _ in for samples in targets[..<count] { body(table, samples) } }
    }
  }

  /// Cuts samples into chunks of equal size.
  private func collect(_ samples: SampleBatch, path: String) throws {
    collected += samples.sampleCount
    var next = 0
    while next < samples.sampleCount {
      if fullChunks == chunks.count {
        chunks.append(SampleBatch(shape: samples.shape, capacity: spool.chunkSamples))
      }
      let chunk = chunks[fullChunks]
      let end = min(samples.sampleCount, next + chunk.capacity - chunk.sampleCount)
      chunk.append(samples, next..<end)
      next = end
      // Told while it is read, before it takes the memory.
      let entries = chunk.bags.reduce(0) { $0 + $1.entryCount(of: chunk.sampleCount) }
      guard entries <= memory.bagEntries else {
        throw ChanterError(
          .badInput,
          "\(chunk.sampleCount) samples in a row have \(entries) values in multi-valued columns, more than the"
            + " \(memory.bagEntries) that there is room for in a batch of \(chunk.capacity); use smaller batches or more"
            + " memory, or set `maximum_length`", path: path)
      }
      if chunk.sampleCount == chunk.capacity { fullChunks += 1 }
    }
  }

  /// Writes the first `count` chunks and keeps the one that is being filled.
  private func store(_ count: Int) throws {
    try spool.append(chunks[..<count], pool)
    for chunk in chunks[..<count] { chunk.sampleCount = 0 }
    if count < chunks.count { chunks.swapAt(0, count) }
    fullChunks = 0
  }
}
