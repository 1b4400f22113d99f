import Foundation

/// What both learning rates are multiplied by at each batch: a function of the batch's number and, for `plateau`, of what
/// the validations so far have found.
public struct LearningRateSchedule: Codable, Equatable, Sendable {
  public enum Kind: String, CaseIterable, Codable, Sendable {
    case constant
    /// ((end - s) / decayBatches) ^ power, as `LRPolicyScheduler` of facebookresearch/dlrm, which MLPerf trains with. There the
    /// floor is a learning rate of 1e-7, here `leastFactor`.
    case polynomial
    /// Half a cosine from 1 to `leastFactor` (Loshchilov and Hutter, SGDR, 2017, equation 5, without restarts).
    case cosine
    /// Times `factor` whenever `patience` validations in a row brought no new best value of the metric; as
    /// torch.optim.lr_scheduler.ReduceLROnPlateau, whose patience is one less for the same effect and whose threshold is 0 here.
    case plateau
  }

  public var kind = Kind.constant
  /// Batches over which the factor rises in equal steps, 1 / n at the first batch, 1 at the n-th. With every kind.
  public var warmupBatches = 0
  /// Batches trained before the decay begins, `warmupBatches` or more; polynomial and cosine.
  public var decayStart = 0
  /// Batches that the decay takes; after them the factor stays. Polynomial and cosine.
  public var decayBatches = 0
  /// Polynomial only.
  public var power = 2.0
  /// The factor never falls below it through decay or plateaus.
  public var leastFactor = 0.0
  /// Plateau only.
  public var factor = 0.1
  public var patience = 1

  public init() {}

  /// - Parameters:
  ///   - step: number of the batch, from 0, over all epochs.
  ///   - plateauFactor: what the validations before it have made of 1.
  func factor(step: Int, plateauFactor: Double) -> Float {
    let number = step + 1
    if number < warmupBatches { return Float(Double(number) / Double(warmupBatches)) }
    let share = min(1, max(0, Double(number - decayStart) / Double(max(1, decayBatches))))
    switch kind {
    case .constant: return 1
    case .plateau: return Float(plateauFactor)
    case .polynomial: return Float(max(leastFactor, pow(1 - share, power)))
    case .cosine: return Float(leastFactor + (1 - leastFactor) * (1 + cos(.pi * share)) / 2)
    }
  }
}

extension LearningRateSchedule {
  private var fields: [(key: String, value: String)] {
    var fields = [("type", kind.rawValue), ("warmup_batches", "\(warmupBatches)")]
    switch kind {
    case .constant: break
    case .polynomial, .cosine:
      fields += [("decay_start", "\(decayStart)"), ("decay_batches", "\(decayBatches)")]
      if kind == .polynomial { fields.append(("power", "\(power)")) }
      fields.append(("least_factor", "\(leastFactor)"))
    case .plateau:
      fields += [
        ("factor", "\(factor)"), ("patience", "\(patience)"), ("least_factor", "\(leastFactor)"),
      ]
    }
    return fields
  }

  /// As YAML.
  var text: String { "schedule:\n" + fields.map { "  \($0.key): \($0.value)" }.joined(separator: "\n") }

  /// In one line.
  var summary: String { fields.map { "\($0.key) \($0.value)" }.joined(separator: ", ") }

  /// The keys that mean something with this kind.
  static func keys(of kind: Kind) -> [String] {
    var schedule = LearningRateSchedule()
    schedule.kind = kind
    return schedule.fields.map(\.key)
  }
}
