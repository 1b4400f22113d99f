import ArgumentParser
import Models
import Primitives

/// Training steps on batches and rows in memory: what compute costs, with no store, plan or cache.
struct Step: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Training steps in memory, without a store.")
  @OptionGroup var shapes: ShapeOptions
  @Flag(help: "Batch normalisation in the hidden layers.") var batchNorm = false
  @Option(help: "Dropout of the hidden layers.") var dropout: Float = 0
  @Option(
    help: "Optimizer of rows and layers, as a configuration names it; adagrad is row-wise for the rows.")
  var optimizer = "sgd"
  @Option(help: "Global norm to clip gradients at; 0 clips nothing.") var clipNorm: Float = 0
  @Option(help: "Rows of each table beyond 10,000, as a share of the Criteo-Kaggle log's.") var scale = 1.0
  @Option(help: "Exponent of the ids' frequencies.") var zipf = 1.0
  @Option(help: "Samples made before the clock starts; they are used in turns.") var samples = 262_144
  @Flag(help: "Predict instead of training.") var predict = false
  @Option(help: "Print how often this many steps allocate memory, and end.") var allocations: Int?

  func run() throws {
    let dimension = try shapes.dimension()
    let tableRows = ShapeOptions.kaggleRows.map { $0 > 10_000 ? max(1, Int(Double($0) * scale)) : $0 }
    guard let denseRule = DenseOptimizer.Rule(rawValue: optimizer),
      let kind = ModelKind(rawValue: shapes.model)
    else { throw ValidationError("no such model or optimizer: \(shapes.model), \(optimizer)") }
    let rowRule = denseRule == .adagrad ? .rowwiseAdagrad : RowOptimizer.Rule(rawValue: optimizer) ?? .sgd
    let rate: Float = denseRule == .adam || denseRule == .adamw ? 0.001 : 0.01
    var network = NetworkConfiguration(kind)
    network.bottom = try shapes.sizes(shapes.bottom)
    network.top = try shapes.sizes(shapes.top)
    network.hidden = try shapes.sizes(shapes.hidden)
    network.batchNorm = batchNorm
    network.dropout = dropout
    var specification = ModelSpecification(
      network: network,
      shape: InputShape(
        denseCount: ShapeOptions.denseCount, tableCount: tableRows.count, dimension: dimension),
      rowOptimizer: RowOptimizer(rowRule, learningRate: rate),
      denseOptimizer: DenseOptimizer(denseRule, learningRate: rate), seed: 1)
    if clipNorm > 0 { specification.clipNorm = clipNorm }
    let entries = tableRows.count * shapes.batch
    let model = try DenseModel(
      specification, limits: BatchLimits(samples: shapes.batch, uniqueRows: entries, entries: entries),
      workers: WorkerPool(threadCount: shapes.threads))
    let rowDimension = try specification.rowDimension()
    let batches = SyntheticBatches(
      count: max(8, samples / shapes.batch), samples: shapes.batch, tableRows: tableRows,
      dimension: rowDimension,
      stateFloats: specification.rowOptimizer.stateFloats(dimension: rowDimension), zipf: zipf)
    let scores = AlignedBuffer<Float>(count: shapes.batch)
    var next = 0
    func step(_ index: Int) throws {
      if predict {
        model.predict(batches.input(index), into: scores.base)
      } else {
        _ = try model.train(batches.input(index), step: index)
      }
    }
    if let allocations {
      for index in 0..<3 { try step(index) }
      let count = try countingAllocations { for index in 3..<3 + allocations { try step(index) } }
      return print("\(count)")
    }
    try takeTurns(["parameters": Double(model.parameterCount)]) { deadline in
      let first = next
      repeat {
        try step(next)
        next += 1
      } while ContinuousClock.now < deadline
      return (next - first) * shapes.batch
    }
  }
}
