import Foundation
import Primitives
import TestSupport
import Testing

@testable import Training

@Suite struct ControlTests {
  private func schedule(_ change: (inout LearningRateSchedule) -> Void) -> LearningRateSchedule {
    var schedule = LearningRateSchedule()
    change(&schedule)
    return schedule
  }

  /// MLPerf's DLRM schedule: what `LRPolicyScheduler` of facebookresearch/dlrm gives for warm-up 4, start 10, decay 5.
  @Test func polynomialDecayAfterAWarmUp() {
    let schedule = schedule {
      $0.kind = .polynomial
      $0.warmupBatches = 4
      $0.decayStart = 10
      $0.decayBatches = 5
    }
    let factors = (0..<20).map { schedule.factor(step: $0, plateauFactor: 1) }
    #expect(Array(factors[0..<4]) == [0.25, 0.5, 0.75, 1])
    #expect(factors[4..<10].allSatisfy { $0 == 1 })
    for (step, expected) in [(10, 0.64), (11, 0.36), (12, 0.16), (13, 0.04), (14, 0)] {
      #expect(abs(factors[step] - Float(expected)) < 1e-6)
    }
    #expect(factors[15...].allSatisfy { $0 == 0 })
  }

  @Test func cosineEndsAtItsLeast() {
    let schedule = schedule {
      $0.kind = .cosine
      $0.decayBatches = 8
      $0.leastFactor = 0.1
    }
    #expect(abs(schedule.factor(step: 3, plateauFactor: 1) - 0.55) < 1e-6)
    #expect(abs(schedule.factor(step: 7, plateauFactor: 1) - 0.1) < 1e-6)
    #expect(abs(schedule.factor(step: 99, plateauFactor: 1) - 0.1) < 1e-6)
    let falling = (0..<8).map { schedule.factor(step: $0, plateauFactor: 1) }
    #expect(zip(falling, falling.dropFirst()).allSatisfy { $0 > $1 })
  }

  /// As torch's ReduceLROnPlateau with patience 1 (2 here), factor 0.1 and threshold 0.
  @Test func plateausReduceTheFactor() {
    var control = TrainingControl()
    control.validEvery = .batches(1)
    control.metric = .auc
    control.schedule.kind = .plateau
    control.schedule.patience = 2
    control.schedule.leastFactor = 0.005
    var state = ControlState()
    var factors: [Double] = []
    let values = [0.5, 0.6, 0.6, 0.59, 0.7, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    for (cursor, value) in values.enumerated() {
      let isBest = state.note(value, cursor: cursor + 1, control: control)
      #expect(isBest == [0, 1, 4].contains(cursor))
      factors.append(state.plateauFactor)
    }
    let expected = [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.005, 0.005, 0.005]
    #expect(zip(factors, expected).allSatisfy { abs($0 - $1) < 1e-12 })
    #expect(state.bestAt == 5 && state.bestValue == 0.7 && state.sinceBest == 6 && !state.isStopped)
  }

  @Test func lessIsBetterForLosses() {
    var control = TrainingControl()
    control.metric = .logLoss
    control.patience = 1
    var state = ControlState()
    let areBest = [(1, 0.5), (2, 0.4), (3, 0.4)].map { state.note($0.1, cursor: $0.0, control: control) }
    #expect(areBest == [true, true, false] && state.isStopped)
  }

  @Test func theStateComesBackFromItsBytes() throws {
    var state = ControlState()
    state.validatedAt = 70
    state.bestAt = 60
    state.bestValue = -0.25
    state.sinceBest = 3
    state.sincePlateau = 2
    state.plateauFactor = 0.01
    state.isStopped = true
    state.count(loss: 1.5, samples: 1 << 40)
    var bytes = [UInt8](repeating: 0, count: ControlState.byteCount)
    try bytes.withUnsafeMutableBytes { buffer in
      let base = try #require(buffer.baseAddress)
      state.write(to: base)
      #expect(try ControlState(base, cursor: 70, path: "") == state)
      // A validation ahead of the cursor, a factor above 1, a best value that is no number.
      #expect(throws: ChanterError.self) { try ControlState(base, cursor: 69, path: "") }
      for (offset, word) in [(32, (2.0).bitPattern), (16, Double.nan.bitPattern), (40, 2)] {
        let before = buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        buffer.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
        #expect(throws: ChanterError.self) { try ControlState(base, cursor: 70, path: "") }
        buffer.storeBytes(of: before, toByteOffset: offset, as: UInt64.self)
      }
      #expect(try ControlState(base, cursor: 70, path: "") == state)
    }
  }

  @Test(arguments: [
    ("epoch", ValidationInterval.epochs(1)), ("500", .batches(500)), ("500 batches", .batches(500)),
    ("2 epochs", .epochs(2)),
  ])
  func intervalsAreRead(text: String, interval: ValidationInterval) {
    #expect(ValidationInterval(text) == interval)
    #expect(ValidationInterval(interval.text) == interval)
  }

  @Test(arguments: ["0", "-3", "epochs", "5 days", "", "1 2", "99999999999999999999"])
  func otherIntervalsAreNot(text: String) { #expect(ValidationInterval(text) == nil) }

  @Test func keysAreCheckedTogether() throws {
    func message(_ settings: String...) -> String {
      do {
        _ = try ConfigurationReader.read(path: nil, overrides: settings)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message("schedule.type=cosine").contains("needs schedule.decay_batches"))
    #expect(message("schedule.power=2").contains("type constant has only the keys type, warmup_batches"))
    #expect(message("schedule.type=warm").contains("constant, polynomial, cosine, plateau"))
    #expect(message("patience=2").contains("valid_every"))
    #expect(message("keep_best=true").contains("valid_every"))
    #expect(message("schedule.type=plateau").contains("valid_every"))
    #expect(message("metric=grouped_auc", "valid_every=epoch").contains("group"))
    #expect(message("negative_rate=0").contains("above 0"))
    #expect(message("negative_rate=1.5").contains("0.0 to 1.0"))
    #expect(
      message(
        "schedule.type=polynomial", "schedule.warmup_batches=9", "schedule.decay_start=5",
        "schedule.decay_batches=5"
      ).contains("must end before"))
    let resolved = try ConfigurationReader.read(
      path: nil,
      overrides: [
        "valid_every=2 epochs", "patience=3", "group=\"C 1\"", "schedule.type=plateau", "max_batches=7",
      ])
    #expect(resolved.control.validEvery == .epochs(2) && resolved.control.group == "C 1")
    #expect(resolved.run.maximumBatches == 7)
    #expect(resolved.text.contains("valid_every: 2 epochs\n") && resolved.text.contains("  type: plateau\n"))
  }

  @Test func flagsThatLetARunGoFurther() {
    var run = RunConfiguration()
    run.epochs = 2
    #expect(run.flags(for: 21, batchesPerEpoch: 10) == "--epochs 3")
    run.maximumBatches = 5
    #expect(run.flags(for: 7, batchesPerEpoch: 10) == "--max-batches 7")
    #expect(run.flags(for: 30, batchesPerEpoch: 10) == "--max-batches 30 and --epochs 3")
  }

  @Test func differencesNameTheKey() {
    var mine = TrainingControl()
    mine.patience = 3
    mine.schedule.kind = .cosine
    mine.group = "C1"
    let differences = mine.differences(from: TrainingControl())
    #expect(differences.contains("patience is 3 now and was 0"))
    #expect(differences.contains { $0.hasPrefix("schedule is type cosine") })
    #expect(differences.contains("group is C1 now and was none"))
    #expect(differences.count == 3 && mine.differences(from: mine).isEmpty)
  }

  @Test func predictionsAreCorrectedForSampledNegatives() {
    // A tenth of the negatives kept: even odds among the kept are one to ten among all.
    #expect(abs(TrainingControl.corrected(0.5, negativeRate: 0.1) - 1 / 11) < 1e-7)
    #expect(TrainingControl.corrected(0, negativeRate: 0.1) == 0)
    #expect(TrainingControl.corrected(1, negativeRate: 0.1) == 1)
    #expect(TrainingControl.corrected(0.3, negativeRate: 1) == 0.3)
  }
}

@Suite struct MetricsLogTests {
  private func record(_ step: Int) -> ValidationRecord {
    ValidationRecord(
      step: step, epoch: 0.5, trainingLoss: 0.4, auc: nil, groupedAUC: 0.6, logLoss: 0.5,
      normalizedEntropy: 1,
      calibration: 1, accuracy: 0.5, samples: 10, learningRateFactor: 1, isBest: false, stops: false,
      notPartOfTheModel: .init(seconds: 1, validationSeconds: 2))
  }

  private func withLog(_ body: (_ model: String, _ file: String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let log = try MetricsLog(modelPath: directory.path, validatedAt: 0)
      for step in [10, 20, 30] { try log.append(record(step)) }
      try body(directory.path, directory.appendingPathComponent("metrics.jsonl").path)
    }
  }

  private func lines(_ file: String) throws -> [ValidationRecord] {
    try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map {
      try JSONDecoder().decode(ValidationRecord.self, from: Data($0.utf8))
    }
  }

  @Test func whatLiesBehindTheCommitIsCutOff() throws {
    try withLog { model, file in
      #expect(try lines(file) == [record(10), record(20), record(30)])
      let log = try MetricsLog(modelPath: model, validatedAt: 20)
      #expect(try lines(file) == [record(10), record(20)])
      try log.append(record(25))
      #expect(try lines(file) == [record(10), record(20), record(25)])
    }
  }

  @Test func aTornLineIsCutOff() throws {
    try withLog { model, file in
      let whole = try String(contentsOfFile: file, encoding: .utf8)
      for cut in [1, 2, 50] {
        try String(whole.dropLast(cut)).write(toFile: file, atomically: false, encoding: .utf8)
        _ = try MetricsLog(modelPath: model, validatedAt: 30)
        #expect(try lines(file) == [record(10), record(20)])
      }
    }
  }

  @Test func aForeignLineIsNamedAndStays() throws {
    try withLog { model, file in
      let text = try String(contentsOfFile: file, encoding: .utf8)
      var all = text.split(separator: "\n").map(String.init)
      all[1] = "hello"
      let damaged = all.joined(separator: "\n") + "\n"
      for content in [damaged, text + String(repeating: "x", count: 1 << 17)] {
        try content.write(toFile: file, atomically: false, encoding: .utf8)
        let error = #expect(throws: ChanterError.self) { try MetricsLog(modelPath: model, validatedAt: 40) }
        #expect(error?.line == (content == damaged ? 2 : 4))
        #expect(try String(contentsOfFile: file, encoding: .utf8) == content)
      }
    }
  }
}
