import BatchStore
import Foundation
import Metrics
import Models
import Primitives
import TableStore

/// What became of a validation.
public struct ValidationOutcome: Sendable {
  public let record: ValidationRecord
  /// The copy that was made of the model, where it is the best so far and copies are kept.
  public let copy: BestCopy.Result?
}

/// Steers one run for both trainers: learning rate, validation and what is decided on it. All of it is a
/// function of the batches, so that both decide the same.
final class TrainingController {
  let validation: Validation?
  private(set) var state: ControlState
  private let control: TrainingControl
  private let batchesPerEpoch: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var log: MetricsLog?
  private var best: BestCopy?
  private var validated: (ValidationOutcome) -> Void = { _ in }
  private var scored: (_ done: Int, _ total: Int) -> Void = { _, _ in }

  /// - Parameters:
  ///   - state: as the model's last commit has it.
  init(_ setup: TrainingSetup, state: ControlState = ControlState()) {
    control = setup.control
    validation = setup.validation
    batchesPerEpoch = setup.dataset.manifest.train.batches
    self.state = state
    start = clock.now
  }

  /// Writes every validation to the model's log, keeps a copy of the best, and tells about both.
  func record(
    in modelPath: String, keepsBest: Bool, memory: Int,
    scored: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in },
    _ validated: @escaping (ValidationOutcome) -> Void
  ) throws {
    guard validation != nil else { return }
    log = try MetricsLog(modelPath: modelPath, validatedAt: state.validatedAt)
    let copy = BestCopy(modelPath: modelPath, memory: memory)
    try copy.removePartial()
    if keepsBest { best = copy }
    self.scored = scored
    self.validated = validated
  }

  /// What the learning rates are multiplied by at a batch.
  func learningRateFactor(step: Int) -> Float {
    control.schedule.factor(step: step, plateauFactor: state.plateauFactor)
  }

  /// Trains on the batch of a step and counts its loss.
  /// - Returns: the summed loss.
  func train(_ network: DenseModel, _ input: BatchInput, step: Int, tables: [TableLayout]) throws -> Double {
    let loss = try network.train(
      input, step: step, learningRateFactor: learningRateFactor(step: step), tables: tables)
    state.count(loss: loss, samples: input.sampleCount)
    return loss
  }

  /// Whether a validation follows the batch that ends at `cursor` and has not been made.
  func isDue(at cursor: Int) -> Bool {
    guard let validation, cursor > 0, state.validatedAt < cursor else { return false }
    return cursor % validation.interval == 0
  }

  /// Measures the model as it is at `cursor`, decides what follows, and writes it down. A commit of the state has to
  /// come next.
  ///
  /// - Parameters:
  ///   - store: holds the commit at `cursor`; nil where nothing is kept.
  ///   - stop: ends it early, with nothing changed.
  ///   - score: calls its argument with each batch of the split and its predictions.
  /// - Returns: false if it was ended early.
  func validate(
    cursor: Int, store: ModelStore?, stop: StopSignal,
    _ score: ((Batch, UnsafePointer<Float>) throws -> Void) throws -> Void
  ) throws -> Bool {
    guard let validation else { return true }
    struct Stopped: Error {}
    let before = clock.now
    let measurement = validation.makeMeasurement()
    var samples = 0
    do {
      try score { batch, scores in
        if stop.isRequested { throw Stopped() }
        try measurement.add(batch, scores)
        samples += batch.sampleCount
        scored(samples, validation.samples)
      }
    } catch is Stopped {
      return false
    }
    let result = try measurement.finish()
    let trainingLoss = state.samples > 0 ? state.lossSum / Double(state.samples) : 0
    let isBest = try state.note(validation.value(result), cursor: cursor, control: control)
    let summary = result.summary
    let record = ValidationRecord(
      step: cursor, epoch: Double(cursor) / Double(batchesPerEpoch), trainingLoss: trainingLoss,
      auc: summary.auc, groupedAUC: result.groupedAUC, logLoss: summary.logLoss,
      normalizedEntropy: summary.normalizedEntropy, calibration: summary.calibration,
      accuracy: summary.accuracy, samples: summary.samples,
      learningRateFactor: learningRateFactor(step: cursor), isBest: isBest, stops: state.isStopped,
      notPartOfTheModel: ValidationRecord.Clock(
        seconds: (clock.now - start) / .seconds(1), validationSeconds: (clock.now - before) / .seconds(1)))
    try log?.append(record)
    let copy = isBest ? try store.flatMap { try best?.replace(with: $0) } : nil
    validated(ValidationOutcome(record: record, copy: copy))
    return true
  }
}
