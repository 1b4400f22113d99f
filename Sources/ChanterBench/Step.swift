import ArgumentParser
import Models
import Primitives

/// Training steps on batches and rows in memory: what compute costs, with no store, plan or cache.
struct Step: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Training steps in memory, without a store.")
  @OptionGroup var shapes: ShapeOptions
  @Option(help: "Optimizer of rows and layers: sgd or adagrad (row-wise for the rows).") var optimizer = "sgd"
  @Option(help: "Rows of each table beyond 10,000, as a share of the Criteo-Kaggle log's.") var scale = 1.0
  @Option(help: "Exponent of the ids' frequencies.") var zipf = 1.0
  @Option(help: "Samples made before the clock starts; they are used in turns.") var samples = 262_144
  @Flag(help: "Predict instead of training.") var predict = false

  func run() throws {
    let dimension = try shapes.dimension()
    let tableRows = ShapeOptions.kaggleRows.map { $0 > 10_000 ? max(1, Int(Double($0) * scale)) : $0 }
    let isAdagrad = optimizer == "adagrad"
    guard isAdagrad || optimizer == "sgd" else { throw ValidationError("--optimizer is sgd or adagrad") }
    let rowOptimizer =
      isAdagrad
      ? RowOptimizer.rowwiseAdagrad(learningRate: 0.01, epsilon: 1e-8) : .sgd(learningRate: 0.01)
    let configuration = DLRMConfiguration(
      denseCount: ShapeOptions.denseCount, tableCount: tableRows.count, dimension: dimension,
      bottom: try shapes.sizes(shapes.bottom), top: try shapes.sizes(shapes.top))
    let model = try DenseModel(
      configuration: configuration, rowOptimizer: rowOptimizer,
      denseOptimizer: isAdagrad ? .adagrad(learningRate: 0.01, epsilon: 1e-8) : .sgd(learningRate: 0.01),
      seed: 1, maximumBatchSize: shapes.batch, maximumUniqueRows: tableRows.count * shapes.batch,
      workers: WorkerPool(threadCount: shapes.threads))
    let batches = SyntheticBatches(
      count: max(8, samples / shapes.batch), samples: shapes.batch, tableRows: tableRows,
      dimension: dimension,
      stateFloats: rowOptimizer.stateFloats, zipf: zipf)
    let scores = AlignedBuffer<Float>(count: shapes.batch)
    var next = 0
    try takeTurns(["parameters": Double(model.parameterCount)]) { deadline in
      let first = next
      repeat {
        if predict {
          model.predict(batches.input(next), into: scores.base)
        } else {
          let loss = model.step(batches.input(next))
          guard loss.isFinite else { throw ChanterError(.broken, "the loss of step \(next) is \(loss)") }
        }
        next += 1
      } while ContinuousClock.now < deadline
      return (next - first) * shapes.batch
    }
  }
}
