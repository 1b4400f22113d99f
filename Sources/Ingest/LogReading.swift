import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Reads the inputs once: numbers their values and leaves the samples in a temporary file.
///
/// Rounds of blocks: the blocks of a round are parsed side by side; then the tables are numbered side by side, each
/// going through the blocks in order, so that a number does not depend on the threads.
final class LogReading {
  private static let blocksPerThread = 4

  /// Temporary files and the result at their largest, of the text: 154 were measured on a generated log, and 192 where
  /// every tenth use of a value was spilled.
  private static let diskPercent = 200
  /// Text of a packed log by its size on the disk: generated and real logs have 2 to 3.
  private static let packedRatio = 3

  /// Memory of reading without the values: blocks, chunks that are filled and packed, and the readers of the spool.
  static func bytes(_ layout: InputLayout, threads: Int, batchSize: Int) -> Int {
    let blocks = blocksPerThread * threads
    let sampleBytes = SampleBatch.bytes(shape: layout.shape, capacity: 1)
    let chunks = (blocks * layout.samplesPerBlock / batchSize + 2) * batchSize
    // The bags of all chunks have no more entries than the blocks that they come from.
    return 2 * blocks * TextBlock.memory(layout) + 4 * chunks * sampleBytes
      + 8 * threads * batchSize * sampleBytes + 4 * 12 * blocks * layout.bagEntriesPerBlock
  }

  let spool: SampleSpool
  let counters: [ValueCounter]
  private(set) var skipped = SkippedLines()
  /// Samples by the part that their input belongs to: training, validation, test.
  private(set) var samplesByPart = [0, 0, 0]
  /// All inputs in order.
  private let inputs: [String]
  /// Values beyond the memory limit, if there are any.
  private(set) var spilled: SpilledValues?
  private let memory: PreprocessMemory
  private let directory: String
  private let options: PreprocessOptions
  private let pool: WorkerPool
  private var parser: any BlockParser
  private var layout: InputLayout { parser.layout }
  /// Bytes of all inputs, 0 if one has no size.
  private let totalBytes: Int
  /// Disk that temporary files and the result will take, about; inputs without a size are not in it.
  private(set) var diskBytes = 0
  /// Lines so far of the input that is read.
  private var lines = 0
  private var chunks: [SampleBatch] = []
  private var fullChunks = 0
  /// Samples so far, those of the chunk that is being filled included.
  private var collected = 0

  /// - Parameter directory: where the temporary file lies.
  init(
    _ options: PreprocessOptions, _ parser: any BlockParser, memory: PreprocessMemory, directory: String,
    pool: WorkerPool
  ) throws {
    self.parser = parser
    inputs = options.allInputs
    self.memory = memory
    self.directory = directory
    self.options = options
    self.pool = pool
    counters = parser.layout.tableNames.map { _ in ValueCounter() }
    spool = try SampleSpool(
      directory: directory, shape: parser.layout.shape, chunkSamples: options.batchSize)
    var bytes = 0
    // A missing file is told now, not after the first has been read.
    var isComplete = true
    for name in inputs {
      guard name != "-", let size = File.regularSize(name) else {
        if name != "-", !File.exists(name) { _ = try File(reading: name) }
        isComplete = false
        continue
      }
      bytes += size
      diskBytes += size * Self.diskPercent / 100 * (try TextInput(name).isPacked ? Self.packedRatio : 1)
    }
    totalBytes = isComplete ? bytes : 0
  }

  func run(_ progress: (PreprocessProgress) throws -> Void) throws {
    let roundSize = Self.blocksPerThread * pool.threadCount
    let reader = try TextReader(inputs, layout: layout, blocks: 2 * roundSize)
    defer { reader.stop() }
    var round: [TextBlock] = []
    while true {
      round.removeAll(keepingCapacity: true)
      while round.count < roundSize, let block = try reader.next() {
        if block.isFirst { try parser.begin(block, path: inputs[block.input]) }
        round.append(block)
      }
      guard let last = round.last else { break }
      pool.run(round.count) { task, _ in parser.parse(round[task]) }
      for block in round { try check(block) }
      if spilled == nil, !hasRoom(for: round) {
        spilled = try SpilledValues(
          directory: directory, tableCount: layout.tableCount, memory: memory.partitionBytes)
      }
      pool.run(counters.count) { table, _ in
        for block in round {
          counters[table].add(block.column(table), addingNew: spilled == nil, rows: block.rows(table))
          block.scatter(table)
        }
      }
      for block in round {
        try spilled?.add(block, firstSample: collected)
        samplesByPart[options.part(ofInput: block.input)] += block.samples.sampleCount
        collect(block.samples)
      }
      try store(fullChunks)
      let done = spool.sampleCount
      let estimate = totalBytes == 0 ? 0 : Double(done) * Double(totalBytes) / Double(max(1, last.readBytes))
      try progress(PreprocessProgress(phase: .reading, done: done, total: max(done, Int(estimate))))
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
  }

  /// Whether the values stay within their share of the memory even if all of these are new.
  private func hasRoom(for round: [TextBlock]) -> Bool {
    var needed = 0
    for (table, counter) in counters.enumerated() {
      let columns = round.map { $0.column(table) }
      needed += counter.bytes(
        adding: columns.reduce(0) { $0 + $1.count }, ofBytes: columns.reduce(0) { $0 + $1.valueBytes })
    }
    return needed <= memory.valueBytes
  }

  /// Takes back what the samples from `first` on added to the counts: they are held out.
  func forget(from first: Int) throws {
    let size = spool.chunkSamples
    let targets = (0..<2 * pool.threadCount).map { _ in
      SampleBatch(shape: layout.shape, capacity: size)
    }
    let readers = try (0..<pool.threadCount).map { _ in try SampleSpoolReader(spool) }
    for start in stride(from: first, to: spool.sampleCount, by: size * targets.count) {
      let count = min(targets.count, (spool.sampleCount - start + size - 1) / size)
      var failures = [(any Error)?](repeating: nil, count: count)
      failures.withUnsafeMutableBufferPointer { failures in
        pool.run(count) { task, worker in
          let from = start + task * size
          do {
            try readers[worker].read(from..<min(from + size, spool.sampleCount), into: targets[task])
          } catch {
            failures[task] = error
          }
        }
      }
      for case let failure? in failures { throw failure }
      pool.run(counters.count) { table, _ in
        for samples in targets[..<count] {
          samples.forEachEntry(of: layout.featuresByTable[table], in: 0..<samples.sampleCount) {
            counters[table].remove($0.pointee)
          }
        }
      }
    }
  }

  /// Counts the lines and sees to the bad ones.
  private func check(_ block: TextBlock) throws {
    let name = inputs[block.input]
    if !block.problems.isEmpty {
      if case .skip(let limit) = options.badLines {
        skipped.add(block.problems, path: name, after: lines)
        if skipped.count > limit, let first = skipped.first.first {
          throw ChanterError(
            .badInput, "more than \(limit) lines are bad; the first: \(first.message)", path: first.path,
            line: first.line)
        }
      } else if let first = block.problems.errors(path: name, after: lines).first {
        throw first
      }
    }
    lines += block.lines
    guard block.isLast else { return }
    if lines == 0 {
      throw ChanterError(.badInput, "the file is empty; give a log with at least one line", path: name)
    }
    lines = 0
  }

  /// Cuts samples into chunks of equal size.
  private func collect(_ samples: SampleBatch) {
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
