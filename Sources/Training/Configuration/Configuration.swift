public import Lookahead
public import Models
import Primitives
import TableStore

/// What defines a model: two runs whose `ModelConfiguration`, dataset and number of batches agree end with the same bytes.
public struct ModelConfiguration: Codable, Equatable, Sendable {
  /// Floats of an embedding vector.
  public var dimension = 16
  /// Sizes of the layers over the dense features; the last one equals `dimension`.
  public var bottom = [512, 256, 64, 16]
  /// Sizes of the layers over the interactions; the last one is 1, the logit.
  public var top = [512, 256, 1]
  public var rows = OptimizerConfiguration(optimizer: "rowwise_adagrad", learningRate: 0.02)
  public var dense = OptimizerConfiguration(optimizer: "adagrad", learningRate: 0.02)
  /// Seeds initial rows and dense parameters.
  public var seed: UInt64 = 1

  public init() {}

  public struct OptimizerConfiguration: Codable, Equatable, Sendable {
    public var optimizer: String
    public var learningRate: Float
    /// Added to the root of the state; Adagrad only.
    public var epsilon: Float

    public init(optimizer: String, learningRate: Float, epsilon: Float = 1e-8) {
      self.optimizer = optimizer
      self.learningRate = learningRate
      self.epsilon = epsilon
    }
  }

  public func rowOptimizer() throws -> RowOptimizer {
    switch rows.optimizer {
    case "sgd": .sgd(learningRate: rows.learningRate)
    case "rowwise_adagrad": .rowwiseAdagrad(learningRate: rows.learningRate, epsilon: rows.epsilon)
    default: throw Self.unknown("rows.optimizer", rows.optimizer, ["sgd", "rowwise_adagrad"])
    }
  }

  public func denseOptimizer() throws -> DenseOptimizer {
    switch dense.optimizer {
    case "sgd": .sgd(learningRate: dense.learningRate)
    case "adagrad": .adagrad(learningRate: dense.learningRate, epsilon: dense.epsilon)
    default: throw Self.unknown("dense.optimizer", dense.optimizer, ["sgd", "adagrad"])
    }
  }

  static func unknown(_ key: String, _ value: String, _ choices: [String]) -> ChanterError {
    ChanterError(.badInput, "\(key): `\(value)` is not one of \(choices.joined(separator: ", "))")
  }

  /// The network for a dataset with these many dense and categorical features.
  func network(denseCount: Int, tableCount: Int) throws -> DLRMConfiguration {
    let network = DLRMConfiguration(
      denseCount: denseCount, tableCount: tableCount, dimension: dimension, bottom: bottom, top: top)
    try network.validate()
    return network
  }
}

/// How a run goes about it. None of these changes the model that a number of batches gives.
public struct RunConfiguration: Codable, Equatable, Sendable {
  /// Passes over the training split.
  public var epochs = 1
  /// Batches to train in all, fewer than the epochs have; nil for all of them.
  public var maximumBatches: Int?
  /// Copies the model to the folder `best` in its own whenever a validation finds the best value so far.
  public var keepsBest = false
  /// Batches planned and fetched ahead of the one in training, that one included.
  public var lookahead = 32
  public var policy = EvictionPolicy.min
  /// Compute threads; 0 means one for each core.
  public var threads = 0

  public init() {}
}

/// A configuration file with the command line's changes, resolved.
public struct Configuration: Equatable, Sendable {
  public var model = ModelConfiguration()
  public var control = TrainingControl()
  public var run = RunConfiguration()

  public init() {}

  /// The configuration as YAML, every key with its value in force.
  public var text: String {
    """
    \(model.text)
    \(control.text)
    keep_best: \(run.keepsBest)
    max_batches: \(run.maximumBatches ?? 0)
    epochs: \(run.epochs)
    lookahead: \(run.lookahead)
    policy: \(run.policy.rawValue)
    threads: \(run.threads)
    """
  }
}

extension ModelConfiguration {
  /// The model's part of a configuration as YAML.
  public var text: String {
    func list(_ values: [Int]) -> String { "[" + values.map(String.init).joined(separator: ", ") + "]" }
    func optimizer(_ name: String, _ value: OptimizerConfiguration) -> String {
      """
      \(name):
        optimizer: \(value.optimizer)
        learning_rate: \(value.learningRate)
        epsilon: \(value.epsilon)
      """
    }
    return """
      model: dlrm
      dimension: \(dimension)
      bottom: \(list(bottom))
      top: \(list(top))
      \(optimizer("rows", rows))
      \(optimizer("dense", dense))
      seed: \(seed)
      """
  }
}

extension ModelConfiguration {
  /// Each setting in which `other` differs, as `key: mine here, theirs there`.
  func differences(from other: ModelConfiguration) -> [String] {
    var result: [String] = []
    func compare<Value: Equatable>(_ name: String, _ path: KeyPath<ModelConfiguration, Value>) {
      if self[keyPath: path] != other[keyPath: path] {
        result.append("\(name) is \(self[keyPath: path]) now and was \(other[keyPath: path])")
      }
    }
    compare("dimension", \.dimension)
    compare("bottom", \.bottom)
    compare("top", \.top)
    compare("rows.optimizer", \.rows.optimizer)
    compare("rows.learning_rate", \.rows.learningRate)
    compare("rows.epsilon", \.rows.epsilon)
    compare("dense.optimizer", \.dense.optimizer)
    compare("dense.learning_rate", \.dense.learningRate)
    compare("dense.epsilon", \.dense.epsilon)
    compare("seed", \.seed)
    return result
  }
}

extension RunConfiguration {
  /// Batches of the whole run, over all epochs.
  func endStep(batchesPerEpoch: Int) throws -> Int {
    let (all, overflow) = epochs.multipliedReportingOverflow(by: batchesPerEpoch)
    let end = min(overflow ? Int.max : all, maximumBatches ?? Int.max)
    guard end <= CommitState.largestCursor else {
      throw ChanterError(.unsupported, "\(epochs) epochs of \(batchesPerEpoch) batches are too many to count")
    }
    return end
  }
}
