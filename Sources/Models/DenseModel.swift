public import Primitives

/// What defines a model, apart from its numbers.
public struct ModelSpecification: Sendable {
  public var network: NetworkConfiguration
  public var shape: InputShape
  public var rowOptimizer: RowOptimizer
  public var denseOptimizer: DenseOptimizer
  /// The largest global norm of a batch's gradients, rows included; nil for no clipping.
  public var clipNorm: Float?
  public var classWeights = ClassWeights()
  /// Seeds the initial parameters and dropout.
  public var seed: UInt64

  public init(
    network: NetworkConfiguration, shape: InputShape, rowOptimizer: RowOptimizer,
    denseOptimizer: DenseOptimizer, clipNorm: Float? = nil, seed: UInt64
  ) {
    self.network = network
    self.shape = shape
    self.rowOptimizer = rowOptimizer
    self.denseOptimizer = denseOptimizer
    self.clipNorm = clipNorm
    self.seed = seed
  }
}

/// A model in training or in use: its dense parameters, and one step or one prediction over a batch whose rows are in
/// memory. Where the rows come from and where they go is not its concern.
///
/// A step is a list of segments with a barrier behind each: forward and backward passes, cut where a layer needs the whole
/// batch, then the updates. Its result depends on the batch, the parameters and the maximum batch size (through the chunk
/// size), never on the number of threads.
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

  /// Which stream of the seed the initial parameters draw from; rows have stream 1, dropout 3. Do not renumber: it is
  /// part of every model's identity.
  private static let initialParameterStream: UInt64 = 2

  public let limits: BatchLimits
  /// Dense parameters, state not counted.
  public let parameterCount: Int
  private let network: Network
  private let parameters: AlignedBuffer<Float>
  private let firstAverage: Int
  private let buffers: ChunkBuffers
  /// One for each worker.
  private let scoringArenas: [AlignedBuffer<Float>]
  /// What a step runs, in order.
  private let segments: [any Segment]
  private let workers: WorkerPool
  private var job = Job.none
  /// Made once, so that no batch allocates anything.
  private lazy var work = WorkerPool.Work { [unowned self] task, worker in perform(task, worker: worker) }
  package let allocatedBytes: Int

  /// A model with the initial parameters of its seed.
  ///
  /// - Parameters:
  ///   - limits: the most that a batch to train on holds; `.none` makes a model that only predicts.
  ///   - workers: the compute threads; scratch memory is made for each.
  /// - Throws: `badInput` if the network does not fit the samples.
  public convenience init(_ specification: ModelSpecification, limits: BatchLimits, workers: WorkerPool)
    throws(ChanterError)
  {
    let network = try Network(specification, limits: limits)
    self.init(network, specification, limits: limits, workers: workers)
  }

  init(_ network: Network, _ specification: ModelSpecification, limits: BatchLimits, workers: WorkerPool) {
    _ = BLAS.singleThreaded
    let sizes = BufferSizes(network, specification, limits: limits, threadCount: workers.threadCount)
    let chunks = Chunks(size: Self.chunkSize(maximumBatchSize: limits.samples))
    self.network = network
    self.workers = workers
    self.limits = limits
    parameterCount = network.parameterCount
    let parameters = AlignedBuffer<Float>(count: sizes.parameters)
    self.parameters = parameters
    let firstAverage = sizes.firstAverage
    self.firstAverage = firstAverage
    let scoringArenas = (0..<workers.threadCount).map { _ in
      AlignedBuffer<Float>(count: network.scoringFloats)
    }
    self.scoringArenas = scoringArenas
    let rowGradients = RowGradients(
      rowShape: network.rowShape, values: AlignedBuffer(count: sizes.rowGradients),
      order: AlignedBuffer(count: sizes.order), ends: AlignedBuffer(count: sizes.ends))
    let buffers = ChunkBuffers(
      network: network, classWeights: specification.classWeights, chunks: chunks, parameters: parameters,
      firstAverage: firstAverage, laneGradients: AlignedBuffer(count: sizes.laneGradients),
      losses: AlignedBuffer(count: sizes.losses), rowGradients: rowGradients.values,
      statistics: AlignedBuffer(count: sizes.statistics),
      arenas: (0..<sizes.arenas).map { _ in AlignedBuffer(count: network.training.floats) })
    self.buffers = buffers
    let clipping = specification.clipNorm.map {
      Clipping(
        norm: $0, parameterCount: network.parameterCount, laneGradients: buffers.laneGradients,
        chunks: chunks, rowGradients: rowGradients, squares: AlignedBuffer(count: sizes.squares))
    }
    let failures = AlignedBuffer<UInt8>(count: sizes.failures)
    var segments: [any Segment] = ChunkSegment.segments(buffers)
    let rowOrder = RowOrder(
      shape: network.shape, rowShape: network.rowShape, order: rowGradients.order, ends: rowGradients.ends)
    segments.append(JoinedSegments(first: segments.removeLast(), second: rowOrder))
    if let clipping { segments.append(clipping) }
    let denseUpdate = DenseUpdate(
      optimizer: specification.denseOptimizer, clipping: clipping, chunks: chunks, network: network,
      parameters: parameters, laneGradients: buffers.laneGradients, failures: failures)
    let rowUpdate = RowUpdate(
      optimizer: specification.rowOptimizer, clipping: clipping, gradients: rowGradients,
      failures: failures, firstFailure: DenseUpdate.taskCount(parameterCount: network.parameterCount))
    segments.append(JoinedSegments(first: denseUpdate, second: rowUpdate))
    self.segments = segments
    let floatBuffers =
      [parameters, buffers.laneGradients, rowGradients.values] + scoringArenas + buffers.arenas
    allocatedBytes =
      floatBuffers.reduce(0) { $0 + $1.byteCount } + rowGradients.order.byteCount
      + rowGradients.ends.byteCount + buffers.losses.byteCount + buffers.statistics.byteCount
      + (clipping?.squares.byteCount ?? 0) + failures.byteCount
    network.initialize(
      parameters.base, random: CounterRandom(seed: specification.seed, stream: Self.initialParameterStream))
    network.initializeAverages(parameters.base + firstAverage)
  }

  /// Trains on one batch: forward, backward, dense update, row update.
  ///
  /// The gradient is that of the weighted loss summed over the batch and divided by its number of samples. The batch must have
  /// labels and be within the limits.
  /// - Parameters:
  ///   - step: number of the batch since training began, from 0: Adam's bias correction and dropout follow from it.
  ///   - learningRateFactor: what a schedule multiplies the learning rates of rows and dense parameters by.
  /// - Returns: the summed (not mean) weighted log loss before the update.
  /// - Throws: `NonFinite` if the loss, or a parameter or row that the batch changed, is not finite; the model must then not
  ///   be used any more.
  public func train(_ batch: BatchInput, step: Int, learningRateFactor: Float = 1) throws(NonFinite)
    -> Double
  {
    precondition(batch.sampleCount <= limits.samples && batch.uniqueCount <= limits.uniqueRows)
    if batch.sampleCount == 0 { return 0 }
    let step = TrainingStep(batch: batch, number: step, learningRateFactor: learningRateFactor)
    for segment in segments {
      job = .train(segment, step)
      workers.run(segment.taskCount(step), work)
      try segment.conclude(step)
    }
    return buffers.loss(batch)
  }

  /// Writes the probability of label 1 for each sample. A sample gets the same bits in whatever batch and place it
  /// comes. The batch may have any size; labels are not read and rows not changed.
  public func predict(_ batch: BatchInput, into scores: UnsafeMutablePointer<Float>) {
    job = .predict(batch, scores)
    workers.run((batch.sampleCount + Self.predictionChunk - 1) / Self.predictionChunk, work)
  }

  /// What the workers are at.
  private enum Job {
    case none
    case train(any Segment, TrainingStep)
    case predict(BatchInput, UnsafeMutablePointer<Float>)
  }

  private func perform(_ task: Int, worker: Int) {
    switch job {
    case .none: break
    case .train(let segment, let step): segment.run(task, worker: worker, step)
    case .predict(let batch, let scores):
      let chunkSize = Self.predictionChunk
      let end = min(batch.sampleCount, (task + 1) * chunkSize)
      for first in stride(from: task * chunkSize, to: end, by: SampleGroup.size) {
        network.score(
          batch, first: first, samples: min(SampleGroup.size, end - first), parameters: parameters.base,
          averages: parameters.base + firstAverage, arena: scoringArenas[worker].base, scores: scores)
      }
    }
  }

  /// The dense parameters in the order of the layers (of a linear layer W row-major, then b), then their optimizer state in
  /// the same order, then the running averages of batch normalisation; all fp32 in the machine's byte order. Valid
  /// while the model lives; changes with each step.
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
}
