/// What each `--min-count` would have kept, found in one run: values and their uses by how often training uses them.
public struct ThresholdCounts: Codable, Equatable, Sendable {
  /// The thresholds that a report shows.
  public static let thresholds = [1, 2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100]

  /// By class: class 0 has no use in training, class k at least `thresholds[k - 1]` and, but for the last, fewer than
  /// `thresholds[k]`.
  private var values = [Int](repeating: 0, count: thresholds.count + 1)
  private var trainingUses = [Int](repeating: 0, count: thresholds.count + 1)
  private var heldUses = [Int](repeating: 0, count: thresholds.count + 1)

  init() {}

  mutating func add(_ count: ValueCount) {
    var group = 0
    while group < Self.thresholds.count, Int(count.training) >= Self.thresholds[group] { group += 1 }
    values[group] += 1
    trainingUses[group] += Int(count.training)
    heldUses[group] += Int(count.held)
  }

  mutating func add(_ other: ThresholdCounts) {
    for group in values.indices {
      values[group] += other.values[group]
      trainingUses[group] += other.trainingUses[group]
      heldUses[group] += other.heldUses[group]
    }
  }

  /// Values that threshold number `threshold` gives a row.
  public func values(_ threshold: Int) -> Int { values[(threshold + 1)...].reduce(0, +) }

  /// Uses in training, those of values without a row included; empty values are no uses.
  public var allTrainingUses: Int { trainingUses.reduce(0, +) }
  /// Those of them whose values get a row.
  public func trainingUses(_ threshold: Int) -> Int { trainingUses[(threshold + 1)...].reduce(0, +) }

  /// Uses outside of training.
  public var allHeldUses: Int { heldUses.reduce(0, +) }
  /// Those of them whose values have no row.
  public func unseenHeldUses(_ threshold: Int) -> Int { heldUses[...threshold].reduce(0, +) }
}
