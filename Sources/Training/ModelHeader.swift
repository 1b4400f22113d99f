public import BatchStore
import Foundation
import Models
import Primitives
import TableStore

/// What a model says about itself from its creation on, kept as JSON in the store.
public struct ModelHeader: Codable, Equatable, Sendable {
  public let configuration: ModelConfiguration
  public let control: TrainingControl
  /// How the run that made the model went about it; later runs may do otherwise.
  public let run: RunConfiguration
  /// What it was trained on last: a dataset that it goes on with may extend the one that it was made with.
  public internal(set) var dataset: DatasetIdentity
  /// Whether it began with another model's weights.
  public let isWarmStarted: Bool
  public let denseCount: Int
  /// What bit-exactness holds on; resuming elsewhere only warns.
  public let machine: Machine

  public struct DatasetIdentity: Codable, Equatable, Sendable {
    /// Value to row. Evaluating needs this, one that it extends or one that extends it.
    public let vocabulary: String
    /// The vocabularies that it extends, the first first.
    public let ancestors: [String]
    /// Order, batch size and splits. Resuming needs this to match, too, or a dataset that extends it.
    public let batching: String
    public let batchSize: Int
    public let trainBatches: Int
    /// Categorical features in the order of the batches.
    public let features: [FeatureLayout]
    /// Raw input is rounded to what the model was trained on.
    public let densePrecision: DensePrecision
    /// How raw input becomes samples; nil for a dataset that was written from row numbers.
    public let schema: String?

    init(_ manifest: Manifest) {
      vocabulary = manifest.vocabularyIdentity
      ancestors = manifest.vocabularyAncestors
      batching = manifest.batchingIdentity
      batchSize = manifest.batchSize
      trainBatches = manifest.train.batches
      features = manifest.features
      densePrecision = manifest.densePrecision
      schema = manifest.schema
    }

    /// Whether a row number that both have means the same value here and there.
    func sharesRows(with manifest: Manifest) -> Bool {
      manifest.vocabularyIdentity == vocabulary || ancestors.contains(manifest.vocabularyIdentity)
        || manifest.vocabularyAncestors.contains(vocabulary)
    }

    /// Whether it is what `manifest` extends.
    func isAncestor(of manifest: Manifest) -> Bool {
      manifest.ancestors.contains { $0.vocabularyIdentity == vocabulary && $0.batchingIdentity == batching }
    }
  }

  public struct Machine: Codable, Equatable, Sendable {
    /// OpenBLAS: version and the kernels it chose for this CPU.
    public let blas: String
    /// Instructions that Chanter's own kernels are compiled for.
    public let architecture: String
    public let chunkSize: Int
    public let lanes: Int

    static func current(maximumBatchSize: Int) -> Machine {
      Machine(
        blas: BLAS.description, architecture: CPU.instructions,
        chunkSize: DenseModel.chunkSize(maximumBatchSize: maximumBatchSize), lanes: DenseModel.laneCount)
    }

    /// How this machine differs from `other`, in words, or nil.
    func difference(from other: Machine) -> String? {
      var parts: [String] = []
      if blas != other.blas { parts.append("\(blas) (now \(other.blas))") }
      if architecture != other.architecture { parts.append("\(architecture) (now \(other.architecture))") }
      if chunkSize != other.chunkSize || lanes != other.lanes {
        parts.append("chunks of \(chunkSize) in \(lanes) lanes (now \(other.chunkSize) in \(other.lanes))")
      }
      return parts.isEmpty ? nil : "the model was made with " + parts.joined(separator: ", ")
    }
  }

  var json: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
  }

  init(_ json: String, path: String) throws {
    do {
      self = try JSONDecoder().decode(ModelHeader.self, from: Data(json.utf8))
    } catch {
      throw ChanterError(
        .corrupt, "the model's header cannot be read; restore the model from a copy", path: path)
    }
  }

  init(configuration: Configuration, dataset: Dataset, isWarmStarted: Bool = false) {
    let manifest = dataset.manifest
    self.configuration = configuration.model
    control = configuration.control
    run = configuration.run
    self.isWarmStarted = isWarmStarted
    self.dataset = DatasetIdentity(manifest)
    denseCount = manifest.denseCount
    machine = Machine.current(maximumBatchSize: dataset.layout(of: .train).maximumSamples)
  }

  /// The model for the samples that it was made for.
  func specification(tables: [TableLayout]) throws -> ModelSpecification {
    try configuration.specification(
      denseCount: denseCount, tables: tables.map(\.name), features: dataset.features)
  }

  /// Throws `.mismatch` with every difference that keeps a run from going on with this model.
  /// - Parameter setup: says where the wanted settings stand.
  func requireSame(as wanted: ModelHeader, setup: TrainingSetup, path: String) throws {
    var differences = wanted.configuration.differences(from: configuration)
    differences += wanted.control.differences(from: control)
    differences = differences.map { difference in
      let key = String(difference.prefix { $0 != " " })
      guard let origin = setup.configuration.origin(of: key), let file = origin.path, let line = origin.line
      else { return difference }
      return "\(file):\(line): \(difference)"
    }
    if dataset.isAncestor(of: setup.dataset.manifest) {
      // Goes on with what was appended.
    } else if wanted.dataset.vocabulary != dataset.vocabulary {
      differences.append("the dataset numbers its values in another way")
    } else if wanted.dataset.batching != dataset.batching {
      differences.append("the dataset has other batches (order, batch size or splits)")
    }
    guard !differences.isEmpty else { return }
    throw ChanterError(
      .mismatch,
      "this model was made with another configuration or dataset: " + differences.joined(separator: "; ")
        + ". Use what it was made with, or give --out a new path", path: path)
  }
}
