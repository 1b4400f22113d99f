public import Primitives

// Pure functions of the specification, so that a memory budget can be divided before anything is allocated.

extension ModelSpecification {
  /// Throws `badInput`, naming the key, if no model can be made of this.
  public func validate() throws(ChanterError) { _ = try Network(self, limits: .none) }

  /// Weights of the widest row, first-order weight included; 1 for a model that uses no rows.
  public func rowDimension() throws(ChanterError) -> Int {
    max(1, try Network(self, limits: .none).rowShape.dimension)
  }

  /// Per table: what the weights of a row are.
  public func rowParts() throws(ChanterError) -> [RowParts] {
    let shape = try Network(self, limits: .none).rowShape
    return shape.vectors.map { RowParts(vector: $0, hasFirstOrderWeight: shape.hasFirstOrder) }
  }

  /// Bytes that the buffers of a model take: parameters and state, lane gradients, row gradients, the sorted inverse
  /// index, and activations: those of the chunks that the workers have in hand, or of the whole batch where batch
  /// normalisation needs them.
  public func memoryBytes(limits: BatchLimits, threadCount: Int) throws(ChanterError) -> Int {
    BufferSizes(try Network(self, limits: limits), self, limits: limits, threadCount: threadCount).bytes
  }

  /// The part of `memoryBytes` that is activations: of training, and of scoring.
  public func activationBytes(limits: BatchLimits, threadCount: Int) throws(ChanterError) -> Int {
    BufferSizes(try Network(self, limits: limits), self, limits: limits, threadCount: threadCount).activations
      * MemoryLayout<Float>.size
  }

  /// Bytes of `DenseModel.parameterBytes`.
  public func parameterByteCount() throws(ChanterError) -> Int {
    let network = try Network(self, limits: .none)
    return BufferSizes(network, self, limits: .none, threadCount: 1).parameters * MemoryLayout<Float>.size
  }
}

extension Network {
  init(_ specification: ModelSpecification, limits: BatchLimits) throws(ChanterError) {
    try self.init(
      specification.network, shape: specification.shape, seed: specification.seed,
      samples: min(limits.samples, DenseModel.chunkSize(maximumBatchSize: limits.samples)))
    // Where a gradient starts is kept in 32 bits.
    guard limits.samples * rowShape.gradientStride <= Int(UInt32.max) else {
      throw ChanterError(
        .unsupported,
        "dimension: \(limits.samples) samples of a batch with \(rowShape.gradientStride) numbers of vectors each are more than"
          + " \(UInt32.max); take smaller vectors, or preprocess with a smaller --batch-size")
    }
  }
}

/// Elements of each buffer of a model.
struct BufferSizes {
  let parameters: Int
  /// Where the running averages start among them.
  let firstAverage: Int
  let laneGradients: Int
  let losses: Int
  let rowGradients: Int
  let order: Int
  let ends: Int
  let statistics: Int
  let squares: Int
  let failures: Int
  /// How many arenas of activations there are.
  let arenas: Int
  let activations: Int
  let bytes: Int

  init(_ network: Network, _ specification: ModelSpecification, limits: BatchLimits, threadCount: Int) {
    let chunkSize = DenseModel.chunkSize(maximumBatchSize: limits.samples)
    let chunks = (limits.samples + chunkSize - 1) / chunkSize
    let rowTasks = RowUpdate.taskCount(uniqueRows: limits.uniqueRows)
    firstAverage = network.parameterCount * (1 + specification.denseOptimizer.stateFloats)
    parameters = firstAverage + network.averageCount
    laneGradients = min(DenseModel.laneCount, chunks) * network.parameterCount
    losses = chunks
    // The last gradient is read as whole vectors.
    rowGradients = chunks == 0 ? 0 : limits.samples * network.rowShape.gradientStride + 8
    order = limits.entries
    ends = limits.uniqueRows
    statistics = chunks == 0 ? 0 : network.statisticCount
    squares =
      chunks == 0 || specification.clipNorm == nil
      ? 0 : 1 + Clipping.denseTasks(parameterCount: network.parameterCount) + rowTasks
    failures = rowTasks + DenseUpdate.taskCount(parameterCount: network.parameterCount)
    arenas = chunks == 0 ? 0 : network.hasBatchWideLayers ? chunks : threadCount
    activations = arenas * network.training.floats + threadCount * network.scoringFloats
    let floats = parameters + laneGradients + rowGradients + order + ends + activations
    bytes =
      floats * MemoryLayout<Float>.size + (losses + statistics + squares) * MemoryLayout<Double>.size
      + failures
  }
}
