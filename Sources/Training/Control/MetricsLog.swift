import Foundation
import Metrics
import Primitives

/// What one validation found: a line of `metrics.jsonl`.
public struct ValidationRecord: Codable, Equatable, Sendable {
  /// Batches trained before it, over all epochs.
  public let step: Int
  public let epoch: Double
  /// Mean loss of the training samples since the validation before.
  public let trainingLoss: Double
  public let auc: Double?
  public let groupedAUC: Double?
  public let logLoss: Double
  public let normalizedEntropy: Double?
  public let calibration: Double?
  public let accuracy: Double
  public let samples: Int
  /// What the learning rates are multiplied by at the next batch.
  public let learningRateFactor: Float
  public let isBest: Bool
  public let stops: Bool
  public let notPartOfTheModel: Clock

  /// What the clock says: differs from run to run.
  public struct Clock: Codable, Equatable, Sendable {
    /// Seconds since this run (not the model) began.
    public let seconds: Double
    /// Seconds that this validation took.
    public let validationSeconds: Double

    enum CodingKeys: String, CodingKey {
      case seconds
      case validationSeconds = "validation_seconds"
    }
  }

  enum CodingKeys: String, CodingKey {
    case step, epoch, auc, calibration, accuracy, samples, stops
    case trainingLoss = "training_loss"
    case groupedAUC = "grouped_auc"
    case logLoss = "log_loss"
    case normalizedEntropy = "normalized_entropy"
    case learningRateFactor = "learning_rate_factor"
    case isBest = "best"
    case notPartOfTheModel = "not_part_of_the_model"
  }
}

/// `metrics.jsonl` in a model's directory: one line for each validation, in their order.
///
/// A line is on the disk before the commit that knows of its validation. A run that was killed between the two validates
/// again, to the same result, so what lies beyond the last commit is cut off when training goes on.
final class MetricsLog {
  static let fileName = "metrics.jsonl"
  private static let longestLine = 1 << 16

  private let path: String
  private let file: File
  private var end: Int

  /// Opens the log of the model at `modelPath` and cuts off what lies behind the validation at `validatedAt`.
  ///
  /// - Throws: `.corrupt` with its line for a line before that which is not a validation's.
  init(modelPath: String, validatedAt: Int) throws {
    path = "\(modelPath)/\(Self.fileName)"
    file = try File(appendingTo: path)
    end = 0
    try keepLines(through: validatedAt)
  }

  func append(_ record: ValidationRecord) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var line = try encoder.encode(record)
    line.append(UInt8(ascii: "\n"))
    try line.withUnsafeBytes { try file.write($0, at: end) }
    end += line.count
    try file.synchronize()
  }

  /// Gives a copy of the model at `modelPath` the validations so far, as they are.
  static func copy(from modelPath: String, to directory: String) throws {
    let source = "\(modelPath)/\(fileName)"
    guard File.exists(source) else { return }
    do {
      let target = "\(directory)/\(fileName)"
      try FileManager.default.copyItem(atPath: source, toPath: target)
      try File(reading: target).synchronize()
    } catch let error as ChanterError {
      throw error
    } catch {
      throw ChanterError(.io, "cannot copy the metrics: \(error.localizedDescription)", path: source)
    }
  }

  private struct Step: Decodable { let step: Int }

  /// Reads line by line, with a buffer for one.
  private func keepLines(through validatedAt: Int) throws {
    let size = try file.size()
    var buffer = [UInt8](repeating: 0, count: Self.longestLine)
    var number = 1
    while end < size {
      let count = min(buffer.count, size - end)
      try buffer.withUnsafeMutableBytes { bytes in
        if let base = bytes.baseAddress { try file.read(at: end, into: base, count: count) }
      }
      // A line without an end was being written when the run was killed.
      guard let newline = buffer[..<count].firstIndex(of: UInt8(ascii: "\n")) else {
        if count == buffer.count { throw foreign(number) }
        break
      }
      guard let step = try? JSONDecoder().decode(Step.self, from: Data(buffer[..<newline])) else {
        throw foreign(number)
      }
      if step.step > validatedAt { break }
      end += newline + 1
      number += 1
    }
    guard end < size else { return }
    try file.truncate(to: end)
    try file.synchronize()
  }

  private func foreign(_ line: Int) -> ChanterError {
    ChanterError(
      .corrupt, "this line is not one that training wrote; move the file away to go on without it",
      path: path,
      line: line)
  }
}
