import BatchStore
import Primitives

/// How a memory limit is spent.
struct PreprocessMemory {
  /// The program, its libraries and stacks, and what an allocator leaves unused.
  static let programBytes = 40 << 20
  /// The least for values that makes sense.
  private static let leastValueBytes = 24 << 20

  /// Text that is sorted at once.
  let runBytes: Int
  /// Most entries of the bags of a batch.
  let bagEntries: Int
  /// For the values and their counts while the log is read.
  let valueBytes: Int
  /// For the values of one spilled partition, of which every thread counts one at a time.
  let partitionBytes: Int
  /// Rows whose next uses are found at once.
  let rowsPerPartition: Int
  /// Threads that there is memory for.
  let threads: Int
  /// The most memory that a compressed input may ask for to be unpacked.
  let windowBytes: Int

  /// What is spent on other things.
  private let fixedBytes: Int

  /// The limit that gives values so much.
  func totalBytes(forValues bytes: Int) -> Int { fixedBytes + 2 * bytes }

  /// Entries of a sample's bag that there is room for on average, at least.
  static let usualBagLength = 64

  init(_ options: PreprocessOptions, _ layout: InputLayout) throws {
    guard let memory = options.memory else {
      valueBytes = options.valueBytes ?? .max
      bagEntries = Manifest.maximumEntries
      runBytes = Arrangement.defaultRunBytes
      partitionBytes = options.partitionBytes ?? .max
      rowsPerPartition = DatasetWriter.defaultRowsPerPartition
      threads = options.threads
      windowBytes = ZstdDecoder.largestWindow
      fixedBytes = 0
      return
    }
    let shape = layout.shape
    let mostEntries = min(
      Manifest.maximumEntries, (layout.maximumBagLength ?? Manifest.maximumEntries) * options.batchSize)
    let leastEntries = min(mostEntries, Self.usualBagLength * shape.bagCount * options.batchSize)
    func fixed(_ threads: Int, _ bagEntries: Int) -> Int {
      let reading = LogReading.bytes(
        layout, threads: threads, batchSize: options.batchSize, bagEntries: bagEntries,
        hashRows: options.hashRows)
      let spilling = shape.tableCount * SpilledTable.writingBytes
      let encoding =
        DatasetWriter.bytes(
          shape: shape, batchSize: options.batchSize, bagEntries: bagEntries, threads: threads)
        + threads * options.batchSize * SampleBatch.bytes(shape: shape, capacity: 1)
        + threads * SampleSpool.bytesByBagEntry * bagEntries
        + shape.tableCount * StreamReader.bytes
        + (options.base.map { base in
          Split.allCases.map { DatasetSamples.bytes(of: base, $0) }.max() ?? 0
        } ?? 0)
      let arranging =
        Arrangement.isNeeded(options) ? Arrangement.bytes(options.schema, layout, threads: threads) : 0
      // Each has ended when the next begins.
      return Self.programBytes + max(arranging, reading + spilling, encoding)
    }
    // More threads than the memory serves help nobody.
    var threads = options.threads
    while threads > 1, fixed(threads, leastEntries) + Self.leastValueBytes > memory { threads -= 1 }
    var rest = memory - fixed(threads, leastEntries)
    guard rest >= Self.leastValueBytes else {
      let needed = ByteSize.ceilingMebibytes(fixed(1, leastEntries) + Self.leastValueBytes)
      throw ChanterError(
        .budget,
        "--memory is \(ByteSize.format(memory)); at least \(needed) is needed with batches of \(options.batchSize)"
      )
    }
    self.threads = threads
    // Longer bags get up to a quarter, if there are any.
    var (moreEntries, tooMany) = (0, mostEntries - leastEntries + 1)
    while moreEntries + 1 < tooMany {
      let middle = (moreEntries + tooMany) / 2
      if memory - fixed(threads, leastEntries + middle) < rest / 4 * 3 {
        tooMany = middle
      } else {
        moreEntries = middle
      }
    }
    bagEntries = leastEntries + moreEntries
    fixedBytes = fixed(threads, bagEntries)
    rest = memory - fixedBytes
    // Order and rows of the values in memory, partitions, and the next uses are never there at the same time; each
    // takes at most a quarter.
    valueBytes = options.valueBytes ?? rest / 2
    partitionBytes = options.partitionBytes ?? rest / 4 / threads
    // Sorted before there are values.
    runBytes = min(Arrangement.defaultRunBytes, rest / 4)
    rowsPerPartition = min(DatasetWriter.defaultRowsPerPartition, rest / 16)
    windowBytes = rest / 4
  }
}
