public import Lookahead
import Models
import Primitives
import TableStore

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
  /// Where each key was set.
  var origins: [String: SettingOrigin] = [:]

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

  /// Where a key was set, or the first key of a group.
  func origin(of key: String) -> SettingOrigin? {
    origins[key]
      ?? origins.filter { $0.key.hasPrefix(key + ".") }.map(\.value).min { ($0.line ?? 0) < ($1.line ?? 0) }
  }

  /// Runs `body`; an error whose message begins with a key gets the place where that key was set, or the
  /// file where it was not.
  func locatingErrors<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as ChanterError where error.path == nil {
      let key = error.message.prefix { $0 != ":" }
      guard let origin = origin(of: String(key)) else {
        // A default that does not fit: there is no line to name, only the file that has none.
        throw ChanterError(error.kind, error.message, path: origins.values.lazy.compactMap(\.path).first)
      }
      throw ChanterError(
        error.kind, (origin.path == nil ? "--set " : "") + error.message, path: origin.path, line: origin.line
      )
    }
  }
}

/// The place of a setting: a line of a file, or the command line.
struct SettingOrigin: Equatable, Sendable {
  let path: String?
  let line: Int?
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

  /// The flags, with their least values, that let a model be trained for `cursor` batches.
  public func flags(for cursor: Int, batchesPerEpoch: Int) -> String {
    var flags: [String] = []
    if let maximumBatches, maximumBatches < cursor { flags.append("--max-batches \(cursor)") }
    let wanted = (cursor + batchesPerEpoch - 1) / batchesPerEpoch
    if epochs < wanted { flags.append("--epochs \(wanted)") }
    return flags.joined(separator: " and ")
  }
}
