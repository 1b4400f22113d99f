import Primitives
import Yams

extension ConfigurationReader {
  static let controlKeys = [
    "schedule.type", "schedule.warmup_batches", "schedule.decay_start", "schedule.decay_batches",
    "schedule.power", "schedule.least_factor", "schedule.factor", "schedule.patience", "valid_every",
    "metric",
    "group", "patience", "positive_weight", "negative_weight", "negative_rate",
  ]

  /// Applies a key of training control; false if it is none.
  static func apply(_ setting: Setting, to control: inout TrainingControl) throws -> Bool {
    let batches = 0...1_000_000_000
    switch setting.key {
    case "schedule.type":
      control.schedule.kind = try setting.choice(LearningRateSchedule.Kind.self)
    case "schedule.warmup_batches": control.schedule.warmupBatches = try setting.integer(batches)
    case "schedule.decay_start": control.schedule.decayStart = try setting.integer(batches)
    case "schedule.decay_batches":
      control.schedule.decayBatches = try setting.integer(1...batches.upperBound)
    case "schedule.power": control.schedule.power = try setting.number(0.1...100)
    case "schedule.least_factor": control.schedule.leastFactor = try setting.number(0...1)
    case "schedule.factor": control.schedule.factor = try setting.number(0...1)
    case "schedule.patience": control.schedule.patience = try setting.integer(1...batches.upperBound)
    case "valid_every":
      let text = setting.node.string ?? ""
      if text == "never" {
        control.validEvery = nil
        break
      }
      guard let interval = ValidationInterval(text) else {
        throw setting.error("expected never, epoch, or a number of batches or epochs such as `500 batches`")
      }
      control.validEvery = interval
    case "metric":
      control.metric = try setting.choice(ValidationMetric.self)
    case "group":
      guard let name = setting.node.string, !name.isEmpty else {
        throw setting.error("expected the name of a categorical feature")
      }
      control.group = name
    case "patience": control.patience = try setting.integer(batches)
    case "positive_weight": control.positiveWeight = try setting.positive()
    case "negative_weight": control.negativeWeight = try setting.positive()
    case "negative_rate":
      control.negativeRate = Float(try setting.number(0...1))
      guard control.negativeRate > 0 else {
        throw setting.error("expected the share of the negatives that the log has kept, above 0 and up to 1")
      }
    default: return false
    }
    return true
  }

  /// What only the keys together show.
  static func check(_ control: TrainingControl, _ settings: [Setting]) throws {
    func fail(_ key: String, _ message: String) throws {
      guard let setting = settings.last(where: { $0.key == key }) else {
        throw ChanterError(.badInput, "\(key): \(message)")
      }
      throw setting.error(message)
    }
    let schedule = control.schedule
    let allowed = LearningRateSchedule.keys(of: schedule.kind)
    for setting in settings where setting.key.hasPrefix("schedule.") {
      guard !allowed.contains(String(setting.key.dropFirst("schedule.".count))) else { continue }
      throw setting.error(
        "a schedule of type \(schedule.kind.rawValue) has only the keys \(allowed.joined(separator: ", "))")
    }
    if [.polynomial, .cosine].contains(schedule.kind) {
      if schedule.decayBatches == 0 {
        try fail(
          "schedule.type",
          "\(schedule.kind.rawValue) needs schedule.decay_batches, the batches that the decay takes")
      }
      if schedule.decayStart < schedule.warmupBatches {
        try fail(
          "schedule.warmup_batches",
          "the decay begins at batch \(schedule.decayStart) (schedule.decay_start); the warm-up of"
            + " \(schedule.warmupBatches) batches must end before")
      }
    }
    if control.validEvery == nil {
      if control.patience > 0 { try fail("patience", "early stopping needs valid_every, such as epoch") }
      if schedule.kind == .plateau { try fail("schedule.type", "plateau needs valid_every, such as epoch") }
    }
    if control.metric == .groupedAUC, control.group == nil {
      try fail("metric", "grouped_auc needs group, the name of a categorical feature")
    }
  }
}
