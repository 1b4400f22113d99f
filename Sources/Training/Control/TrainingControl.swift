/// What steers training beside the model's own configuration. A part of what defines a model: two runs whose model, control,
/// dataset and number of batches agree end with the same bytes.
public struct TrainingControl: Codable, Equatable, Sendable {
  public var schedule = LearningRateSchedule()
  /// When the validation split is scored; nil never.
  public var validEvery: ValidationInterval?
  /// What early stopping, `keep_best` and the plateau schedule look at.
  public var metric = ValidationMetric.auc
  /// The single-valued feature whose rows group the samples for grouped AUC; nil for none.
  public var group: String?
  /// Validations without a new best value after which training stops; 0 never stops.
  public var patience = 0
  /// What the loss of a sample with label 1, and with label 0, is multiplied by.
  public var positiveWeight: Float = 1
  public var negativeWeight: Float = 1
  /// Share of the negatives that the log has kept, in (0, 1]; see `corrected`. Validations during training measure the log as
  /// it is, without the correction; evaluating and predicting correct.
  public var negativeRate: Float = 1

  public init() {}

  /// The probability among all samples for one that was trained on a log with a share R of the negatives:
  /// p / (p + (1 - p) / R) (He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", 2014, section 6.3).
  /// It keeps the order of predictions, so AUC stays but for ties by rounding.
  static func corrected(_ probability: Float, negativeRate: Float) -> Float {
    probability / (probability + (1 - probability) / negativeRate)
  }
}

/// The distance from one validation to the next.
public enum ValidationInterval: Codable, Equatable, Sendable {
  case batches(Int)
  case epochs(Int)

  /// `500`, `500 batches`, `epoch`, `2 epochs`; nil for anything else.
  public init?(_ text: String) {
    let words = text.split(separator: " ")
    if text == "epoch" {
      self = .epochs(1)
    } else if let count = words.first.flatMap({ Int($0) }), (1...1_000_000_000).contains(count) {
      switch words.dropFirst().joined(separator: " ") {
      case "", "batches", "batch": self = .batches(count)
      case "epochs", "epoch": self = .epochs(count)
      default: return nil
      }
    } else {
      return nil
    }
  }

  public var text: String {
    switch self {
    case .batches(let count): "\(count) batches"
    case .epochs(1): "epoch"
    case .epochs(let count): "\(count) epochs"
    }
  }

  /// In batches, for a training split of so many.
  func batches(perEpoch: Int) -> Int {
    switch self {
    case .batches(let count): count
    case .epochs(let count): count * perEpoch
    }
  }
}

/// A measure of the validation split that decisions are made on.
public enum ValidationMetric: String, CaseIterable, Codable, Sendable {
  case auc
  case groupedAUC = "grouped_auc"
  case accuracy
  case logLoss = "log_loss"
  case normalizedEntropy = "normalized_entropy"

  /// Whether `value` is better than `other`; equal is not.
  func isBetter(_ value: Double, than other: Double) -> Bool {
    switch self {
    case .auc, .groupedAUC, .accuracy: value > other
    case .logLoss, .normalizedEntropy: value < other
    }
  }
}

extension TrainingControl {
  /// As YAML, every key with its value in force.
  var text: String {
    let lines: [String?] = [
      schedule.text,
      "valid_every: \(validEvery?.text ?? "never")",
      "metric: \(metric.rawValue)",
      group.map { "group: \($0)" },
      "patience: \(patience)",
      "positive_weight: \(positiveWeight)",
      "negative_weight: \(negativeWeight)",
      "negative_rate: \(negativeRate)",
    ]
    return lines.compactMap(\.self).joined(separator: "\n")
  }

  /// Each setting in which `other` differs, as `key is mine now and was theirs`.
  func differences(from other: TrainingControl) -> [String] {
    let mine = text.split(separator: "\n")
    let theirs = other.text.split(separator: "\n")
    guard schedule == other.schedule, group == other.group else {
      var result: [String] = []
      if schedule != other.schedule {
        result.append("schedule is \(schedule.summary) now and was \(other.schedule.summary)")
      }
      if group != other.group {
        result.append("group is \(group ?? "none") now and was \(other.group ?? "none")")
      }
      var same = self
      same.schedule = other.schedule
      same.group = other.group
      return result + same.differences(from: other)
    }
    return zip(mine, theirs).filter { $0 != $1 }.map { mine, theirs in
      let (key, value) = Self.pair(mine)
      return "\(key) is \(value) now and was \(Self.pair(theirs).value)"
    }
  }

  private static func pair(_ line: Substring) -> (key: Substring, value: Substring) {
    let colon = line.firstIndex(of: ":") ?? line.endIndex
    return (line[..<colon], line[colon...].dropFirst(2))
  }
}
