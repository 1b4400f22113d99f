import BatchStore
import Primitives

/// How a memory limit is spent.
struct PreprocessMemory {
  /// The program, its libraries and stacks, and what an allocator leaves unused.
  private static let programBytes = 40 << 20
  /// The least for values that makes sense: a partition of the spilled ones gets a quarter of it.
  private static let leastValueBytes = 48 << 20

  /// For the values and their counts while the log is read.
  let valueBytes: Int
  /// For the values of one spilled partition.
  let partitionBytes: Int
  /// Rows whose next uses are found at once.
  let rowsPerPartition: Int

  init(_ options: PreprocessOptions, _ layout: InputLayout) throws {
    guard let memory = options.memory else {
      valueBytes = options.valueBytes ?? .max
      partitionBytes = .max
      rowsPerPartition = DatasetWriter.defaultRowsPerPartition
      return
    }
    let fixed =
      Self.programBytes + LogReading.bytes(layout, threads: options.threads, batchSize: options.batchSize)
      + SpilledValues.fixedBytes
      + DatasetWriter.bytes(
        shape: layout.shape, batchSize: options.batchSize, bagEntries: 0, threads: options.threads)
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
    rowsPerPartition = min(DatasetWriter.defaultRowsPerPartition, rest / 16)
  }
}
