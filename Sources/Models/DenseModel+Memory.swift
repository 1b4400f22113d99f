extension DenseModel {
  /// Bytes that the buffers of a DLRM take: parameters and state, lane gradients, row gradients, the sorted inverse
  /// index, and the workers' activations. The configuration must be valid.
  ///
  /// A pure function, so that a memory budget can be divided before anything is allocated.
  public static func memoryBytes(
    configuration: DLRMConfiguration, denseOptimizer: DenseOptimizer, maximumBatchSize: Int,
    maximumUniqueRows: Int, threadCount: Int
  ) -> Int {
    BufferSizes(
      DLRM(configuration, samples: largestChunk(maximumBatchSize: maximumBatchSize)),
      tableCount: configuration.tableCount, denseOptimizer: denseOptimizer,
      maximumBatchSize: maximumBatchSize, maximumUniqueRows: maximumUniqueRows
    ).bytes(threadCount: threadCount)
  }
}

/// Elements of each buffer of a model.
struct BufferSizes {
  let parameters: Int
  let laneGradients: Int
  let losses: Int
  let rowGradients: Int
  let order: Int
  let ends: Int
  /// For each worker.
  let scratch: Int

  init(
    _ network: any Network, tableCount: Int, denseOptimizer: DenseOptimizer, maximumBatchSize: Int,
    maximumUniqueRows: Int
  ) {
    let chunkSize = DenseModel.chunkSize(maximumBatchSize: maximumBatchSize)
    let chunks = (maximumBatchSize + chunkSize - 1) / chunkSize
    parameters = network.parameterCount * (1 + denseOptimizer.stateFloats)
    laneGradients = min(DenseModel.laneCount, chunks) * network.parameterCount
    losses = chunks
    rowGradients = maximumBatchSize * tableCount * network.paddedDimension
    order = tableCount * maximumBatchSize
    ends = maximumUniqueRows
    scratch = network.scratchFloats
  }

  func bytes(threadCount: Int) -> Int {
    let floats = parameters + laneGradients + rowGradients + order + ends + threadCount * scratch
    return floats * MemoryLayout<Float>.size + losses * MemoryLayout<Double>.size
  }
}
