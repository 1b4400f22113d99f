import BatchStore
import Primitives

/// How the memory limit of `rebatch` is spent.
struct RebatchMemory {
  /// Memory for a shuffle where there is no limit.
  private static let usualShuffleBytes = 1 << 30

  /// Threads that there is memory for.
  let threads: Int
  /// Rows whose next uses are found at once.
  let rowsPerPartition: Int
  /// Most entries of the bags of a batch.
  let bagEntries: Int
  /// For the samples that are shuffled.
  let shuffleBytes: Int
  /// For rows that are numbered anew.
  let renumberBytes: Int

  init(_ options: RebatchOptions, _ dataset: Dataset) throws {
    guard let memory = options.memory else {
      threads = options.threads
      rowsPerPartition = DatasetWriter.defaultRowsPerPartition
      bagEntries = .max
      shuffleBytes = options.shuffleBytes ?? Self.usualShuffleBytes
      renumberBytes = options.renumberBytes ?? Self.usualShuffleBytes
      return
    }
    let manifest = dataset.manifest
    let shape = manifest.shape
    // A batch has samples of so many old ones, as they lie, of which each part may have a short one; a shuffle mixes rich and
    // poor.
    let sources = (options.batchSize + manifest.batchSize - 2) / manifest.batchSize + manifest.parts.count
    let richest = Split.allCases.map { manifest.split($0).maximumEntries }.max() ?? 0
    let bagEntries = shape.bagCount == 0 ? 0 : richest * sources
    let reader = Split.allCases.map { DatasetSamples.bytes(of: dataset, $0) }.max() ?? 0
    let chunk = SampleBatch.bytes(shape: shape, capacity: options.batchSize) + 12 * bagEntries

    /// Memory that is left for samples that are shuffled, for rows that are numbered, and for next uses.
    func spare(_ memory: Int, _ threads: Int) -> (shuffle: Int, renumber: Int, uses: Int) {
      let free = memory - PreprocessMemory.programBytes
      let shuffling =
        reader
        + SampleSorter.leastBytes(
          shape, chunkSamples: options.batchSize, entries: bagEntries, threads: threads)
      let encoding =
        DatasetWriter.bytes(
          shape: shape, batchSize: options.batchSize, bagEntries: bagEntries, threads: threads)
        + threads * max(reader, 4 * chunk)
      let renumbering = max(reader, 2 * chunk) + Renumbering.leastBytes(chunk: chunk)
      return (
        free - (options.reorders ? shuffling : 0), free - (options.renumbers ? renumbering : 0),
        free - encoding
      )
    }
    func serves(_ memory: Int, _ threads: Int) -> Bool {
      let rest = spare(memory, threads)
      return min(rest.shuffle, rest.renumber, rest.uses) >= Self.leastRest
    }
    guard serves(memory, 1) else {
      var mebibytes = memory >> 20
      while !serves(mebibytes << 20, 1) { mebibytes += 1 }
      throw ChanterError(
        .budget,
        "--memory is \(ByteSize.format(memory)); at least \(mebibytes)MiB is needed with batches of \(options.batchSize)"
      )
    }
    // More threads than the memory serves help nobody.
    var threads = options.threads
    while !serves(memory, threads) { threads -= 1 }
    let rest = spare(memory, threads)
    self.threads = threads
    self.bagEntries = bagEntries
    rowsPerPartition = min(DatasetWriter.defaultRowsPerPartition, rest.uses / 8)
    shuffleBytes = options.shuffleBytes ?? rest.shuffle
    renumberBytes = options.renumberBytes ?? rest.renumber
  }

  /// The least for samples and for next uses that makes sense.
  private static let leastRest = 8 << 20
}
