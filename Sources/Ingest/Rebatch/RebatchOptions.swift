public import BatchStore
import Foundation
import Primitives

/// What `rebatch` does.
public struct RebatchOptions: Sendable {
  /// The dataset whose samples are taken.
  public var dataset: String
  /// The dataset to make; must not exist.
  public var output: String
  /// Samples of a batch, 1 to 65,536.
  public var batchSize: Int
  /// Puts the samples of the training split in the random order of this seed; nil keeps their order.
  public var shuffleSeed: UInt64?
  /// Puts the samples of each split in the order of their times, those of one time as they are.
  public var ordersByTime = false
  /// Numbers the rows anew, as preprocessing would with the samples in the new order; no model knows the new numbers.
  public var renumbers = false
  /// Most memory of the process in bytes; nil for none, and a gigabyte for samples that are shuffled. The result does not depend on it.
  public var memory: Int?
  /// Memory for the samples that are shuffled instead of their share of `memory`, so that tests cut few samples.
  var shuffleBytes: Int?
  /// The same for counting rows.
  var renumberBytes: Int?
  /// Threads; the result does not depend on it.
  public var threads = ProcessInfo.processInfo.activeProcessorCount
  /// A segment file ends with the frame that reaches this many bytes.
  public var segmentBytes = DatasetWriter.defaultSegmentBytes

  public init(dataset: String, output: String, batchSize: Int) {
    self.dataset = dataset
    self.output = output
    self.batchSize = batchSize
  }

  /// Everything that decides what the result is. Nothing that is kept depends on the memory.
  func stamp(of dataset: Dataset) throws -> RunWork.Stamp {
    let path = dataset.manifestPath
    let status = File.regularStatus(path)
    var values: [String: String] = [
      "--batch-size": "\(batchSize)", "--by-time": "\(ordersByTime)", "--renumber": "\(renumbers)",
      "size of segments": "\(segmentBytes)",
      "dataset": "\(dataset.manifest.vocabularyIdentity) \(dataset.manifest.batchingIdentity)",
    ]
    values["--shuffle"] = shuffleSeed.map { "\($0)" }
    return RunWork.Stamp(
      inputs: [RunWork.Stamp.Input(path: path, size: status?.size, modified: status?.modified)],
      options: values)
  }

  var reorders: Bool { shuffleSeed != nil || ordersByTime }

  func validate() throws {
    guard shuffleSeed == nil || !ordersByTime else {
      throw ChanterError(.badInput, "samples are shuffled or put in the order of time, not both")
    }
    guard (1...Manifest.maximumBatchSize).contains(batchSize) else {
      throw ChanterError(
        .badInput, "the batch size is \(batchSize); it must be 1 to \(Manifest.maximumBatchSize)")
    }
    guard threads >= 1 else {
      throw ChanterError(.badInput, "the number of threads is \(threads); it must be at least 1")
    }
  }
}

/// Where `rebatch` is.
public struct RebatchProgress: Sendable {
  public enum Phase: String, Sendable {
    /// Only what does not fit in memory.
    case cutting = "cutting samples into parts"
    case shuffling = "putting samples in order"
    case vocabulary = "copying the vocabulary"
    case counting = "counting uses"
    case renumbering = "numbering rows"
    case encoding
    case nextUses = "finding next uses"
    case writing = "writing batches"
  }

  public let phase: Phase
  /// Samples done in this phase; values or rows of the vocabulary, and in the last two batches.
  public let done: Int
  public let total: Int
}

/// What `rebatch` made.
public struct RebatchReport: Sendable {
  public let manifest: Manifest
  /// Bytes of the vocabulary, if there is one, and of all segments.
  public let bytes: Int
}
