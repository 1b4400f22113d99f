import BatchStore
import Primitives

/// How a memory limit is spent.
struct PreprocessMemory {
  /// The program, its libraries and stacks, and what an allocator leaves unused.
  private static let programBytes = 40 << 20
  /// The least for values that makes sense: a partition of the spilled ones gets a quarter of it.
  private static let leastValueBytes = 48 << 20

  /// Text that is sorted at once.
  let runBytes: Int
  /// Most entries of the bags of a batch.
  let bagEntries: Int
  /// For the values and their counts while the log is read.
  let valueBytes: Int
  /// For the values of one spilled partition.
  let partitionBytes: Int
  /// Rows whose next uses are found at once.
  let rowsPerPartition: Int

  /// Entries of a sample's bag that there is room for on average, where the schema sets no bound.
  private static let usualBagLength = 64

  private static func bagEntries(_ layout: InputLayout, _ batchSize: Int) -> Int {
    (layout.maximumBagLength ?? usualBagLength * layout.shape.bagCount) * batchSize
  }

  init(_ options: PreprocessOptions, _ layout: InputLayout) throws {
    guard let memory = options.memory else {
      valueBytes = options.valueBytes ?? .max
      bagEntries = .max
      runBytes = Arrangement.defaultRunBytes
      partitionBytes = .max
      rowsPerPartition = DatasetWriter.defaultRowsPerPartition
      return
    }
    bagEntries = layout.shape.bagCount == 0 ? 0 : Self.bagEntries(layout, options.batchSize)
    let fixed =
      Self.programBytes + LogReading.bytes(layout, threads: options.threads, batchSize: options.batchSize)
      + SpilledValues.fixedBytes
      + DatasetWriter.bytes(
        shape: layout.shape, batchSize: options.batchSize, bagEntries: bagEntries, threads: options.threads)
    let rest = memory - fixed
    guard rest >= Self.leastValueBytes else {
      throw ChanterError(
        .budget,
        "--memory is \(ByteSize.format(memory)); at least \(ByteSize.format(fixed + Self.leastValueBytes)) is needed with \(options.threads) threads and batches of \(options.batchSize)"
      )
    }
    // Order and rows of the values in memory, a partition, and the next uses are never there at the same time; each
    // takes at most a quarter, and a quarter is left for what an allocator cannot use.
    valueBytes = rest / 2
    partitionBytes = rest / 4
    // Sorted before there are values.
    runBytes = min(Arrangement.defaultRunBytes, rest / 4)
    rowsPerPartition = min(DatasetWriter.defaultRowsPerPartition, rest / 16)
  }
}
