public import Primitives

/// A model in training or in use: its dense parameters, and one step or one prediction over a batch whose rows are in
/// memory. Where the rows come from and where they go is not its concern.
///
/// A step is a list of segments, here the dense part and the row update. Its result depends on the batch, the
/// parameters and the maximum batch size (through the chunk size), never on the number of threads.
///
/// Unchecked Sendable: it has no lock. One thread at a time may call it; ownership moves as the caller's stages do.
public final class DenseModel: @unchecked Sendable {
  /// Groups of chunks that sum dense gradients together. Part of a model's arithmetic: other lanes, other bits.
  public static let laneCount = 8
  /// Samples that a task of `predict` takes: whole groups, few enough that a batch of 128 keeps two workers busy.
  private static let predictionChunk = 4 * SampleGroup.size

  /// Samples that a worker takes at once in training: 256, or 64 if the maximum batch is below 2,048, so that eight
  /// lanes share a small batch too.
  public static func chunkSize(maximumBatchSize: Int) -> Int { maximumBatchSize < 2_048 ? 64 : 256 }

  /// Samples that a worker's scratch memory has room for.
  static func largestChunk(maximumBatchSize: Int) -> Int {
    min(maximumBatchSize, chunkSize(maximumBatchSize: maximumBatchSize))
  }

  /// Which stream of the seed the initial parameters draw from; rows have stream 1. Do not renumber: it is part of every
  /// model's identity.
  private static let initialParameterStream: UInt64 = 2

  public let maximumBatchSize: Int
  public let maximumUniqueRows: Int
  /// Dense parameters, state not counted.
  public let parameterCount: Int
  private let network: any Network
  private let parameters: AlignedBuffer<Float>
  private let densePart: DensePart
  private let rowUpdate: RowUpdate
  /// What a step runs, in order.
  private let segments: [any Segment]
  private let workers: WorkerPool

  /// A DLRM with the initial parameters of `seed`.
  ///
  /// - Parameters:
  ///   - maximumBatchSize: the configured batch size. 0 makes a model that only predicts and takes no memory for training.
  ///   - maximumUniqueRows: most distinct rows of a batch, over all tables; at most tables × batch size are needed.
  ///   - workers: the compute threads; scratch memory is made for each.
  /// - Throws: `badInput` if the configuration is not valid.
  public init(
    configuration: DLRMConfiguration, rowOptimizer: RowOptimizer, denseOptimizer: DenseOptimizer,
    seed: UInt64,
    maximumBatchSize: Int, maximumUniqueRows: Int, workers: WorkerPool
  ) throws(ChanterError) {
    try configuration.validate()
    _ = BLAS.singleThreaded
    let network = DLRM(
      configuration, samples: Self.largestChunk(maximumBatchSize: maximumBatchSize))
    let sizes = BufferSizes(
      network, tableCount: configuration.tableCount, denseOptimizer: denseOptimizer,
      maximumBatchSize: maximumBatchSize, maximumUniqueRows: maximumUniqueRows)
    self.network = network
    self.workers = workers
    self.maximumBatchSize = maximumBatchSize
    self.maximumUniqueRows = maximumUniqueRows
    parameterCount = network.parameterCount
    parameters = AlignedBuffer(count: sizes.parameters)
    densePart = DensePart(
      network: network, optimizer: denseOptimizer,
      chunkSize: Self.chunkSize(maximumBatchSize: maximumBatchSize),
      parameterCount: parameterCount, parameters: parameters,
      laneGradients: AlignedBuffer(count: sizes.laneGradients), losses: AlignedBuffer(count: sizes.losses),
      rowGradients: AlignedBuffer(count: sizes.rowGradients),
      scratch: (0..<workers.threadCount).map { _ in AlignedBuffer(count: sizes.scratch) })
    rowUpdate = RowUpdate(
      optimizer: rowOptimizer, tableCount: configuration.tableCount, dimension: configuration.dimension,
      rowGradients: densePart.rowGradients, order: AlignedBuffer(count: sizes.order),
      ends: AlignedBuffer(count: sizes.ends))
    segments = [densePart, rowUpdate]
    let random = CounterRandom(seed: seed, stream: Self.initialParameterStream)
    for (index, layer) in network.layers.enumerated() {
      layer.initialize(parameters.base, random: CounterRandom(random, UInt64(index)))
    }
  }

  /// Trains on one batch: forward, backward, dense update, row update.
  ///
  /// The gradient is that of the mean loss over the batch's own samples. The batch must have labels and fit the maxima
  /// the model was made with.
  /// - Returns: the summed (not mean) log loss before the update.
  public func step(_ batch: BatchInput) -> Double {
    precondition(batch.sampleCount <= maximumBatchSize && batch.uniqueCount <= maximumUniqueRows)
    if batch.sampleCount == 0 { return 0 }
    for segment in segments {
      workers.run(segment.taskCount(batch)) { task, worker in segment.run(task, worker: worker, batch) }
      segment.reduce(batch, workers)
    }
    return densePart.loss(batch)
  }

  /// Writes the probability of label 1 for each sample. A sample gets the same bits in whatever batch and place it
  /// comes. The batch may have any size; labels are not read and rows not changed.
  public func predict(_ batch: BatchInput, into scores: UnsafeMutablePointer<Float>) {
    let chunkSize = Self.predictionChunk
    workers.run((batch.sampleCount + chunkSize - 1) / chunkSize) { task, worker in
      let end = min(batch.sampleCount, (task + 1) * chunkSize)
      for first in stride(from: task * chunkSize, to: end, by: SampleGroup.size) {
        let group = Chunk(batch: batch, first: first, count: min(SampleGroup.size, end - first))
        network.score(
          group, parameters: parameters.base, scores: scores, scratch: densePart.scratch[worker].base)
      }
    }
  }

  /// The dense parameters, layer by layer (W row-major, then b), then their optimizer state in the same order; all fp32
  /// in the machine's byte order. Valid while the model lives; changes with each step.
  public var parameterBytes: UnsafeRawBufferPointer { parameters.rawBytes }

  /// Takes over what `parameterBytes` gave. Throws `corrupt` if the length is another model's.
  public func load(_ bytes: UnsafeRawBufferPointer) throws(ChanterError) {
    guard bytes.count == parameters.byteCount, let source = bytes.baseAddress else {
      throw ChanterError(
        .corrupt,
        "the dense parameters are \(bytes.count) bytes where this model has \(parameters.byteCount); "
          + "they belong to another configuration")
    }
    UnsafeMutableRawPointer(parameters.base).copyMemory(from: source, byteCount: bytes.count)
  }

  /// Bytes of all buffers that this model holds.
  package var allocatedBytes: Int {
    let training =
      densePart.laneGradients.byteCount + densePart.losses.byteCount + densePart.rowGradients.byteCount
      + rowUpdate.order.byteCount + rowUpdate.ends.byteCount
    return parameters.byteCount + training + densePart.scratch.reduce(0) { $0 + $1.byteCount }
  }
}
