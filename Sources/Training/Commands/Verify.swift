import BatchStore
import Foundation
public import Lookahead
import Models
import Primitives
import TableStore

/// Trains the first batches of a dataset in memory, then out of core under many budgets, lookaheads, policies and thread
/// counts, and holds every row and parameter after every batch against the plain trainer.
public struct VerificationRequest {
  public var datasetPath: String
  public var configuration: Configuration
  /// Batches to train; may be more than one epoch has.
  public var batches: Int
  /// Called with each run and how it ended.
  public var compared: (VerifiedRun) -> Void = { _ in }

  public init(datasetPath: String, configuration: Configuration, batches: Int) {
    self.datasetPath = datasetPath
    self.configuration = configuration
    self.batches = batches
  }
}

/// One out-of-core run beside the plain one.
public struct VerifiedRun: Sendable {
  public let memory: Int
  public let lookahead: Int
  public let policy: EvictionPolicy
  public let threads: Int
  /// Whether the run was stopped half-way and resumed from its commit.
  public let isResumed: Bool
  public let digest: String
  /// Where it first differs from the plain trainer, or nil.
  public let difference: String?
}

public struct VerificationReport: Sendable {
  /// Of the plain trainer's model.
  public let digest: String
  public let runs: [VerifiedRun]
  public var isExact: Bool { runs.allSatisfy { $0.difference == nil } }
}

extension VerificationRequest {
  public func run() throws -> VerificationReport {
    let dataset = try Dataset(opening: datasetPath)
    let scratch = FileManager.default.temporaryDirectory.appendingPathComponent(
      "chanter-verify-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: scratch) }

    let trace = scratch.appendingPathComponent("trace").path
    let plain = try plainRun(dataset, trace: trace)
    var runs: [VerifiedRun] = []
    for (number, variant) in variants().enumerated() {
      let path = scratch.appendingPathComponent("model-\(number)").path
      let result = try outOfCoreRun(dataset, variant, modelPath: path, trace: trace, plain: plain)
      try? FileManager.default.removeItem(atPath: path)
      compared(result)
      runs.append(result)
    }
    return VerificationReport(digest: plain.digest(cursor: plain.cursor), runs: runs)
  }

  private struct Variant {
    let lookahead: Int
    let policy: EvictionPolicy
    /// Where the budget lies between the least for this lookahead and room for every row.
    let budgetShare: Double
    let threads: Int
    let commitInterval: Int
    let isResumed: Bool
  }

  /// Every lookahead with every policy and budget; thread counts and commit intervals take turns, so that each meets each
  /// budget.
  private func variants() -> [Variant] {
    var result: [Variant] = []
    for lookahead in Set([1, 3, configuration.run.lookahead]).sorted() {
      for policy in EvictionPolicy.allCases {
        for budgetShare in [0, 0.05, 1] {
          let turn = result.count
          result.append(
            Variant(
              lookahead: lookahead, policy: policy, budgetShare: budgetShare,
              threads: (turn + turn / 3) % 3 + 1,
              commitInterval: [64, 5, 16][(turn + turn / 9) % 3], isResumed: turn % 2 == 1))
        }
      }
    }
    return result
  }

  private func meter() -> RunMeter {
    RunMeter(endStep: batches, batchesPerEpoch: batches, display: { _ in })
  }

  /// The plain trainer as it is after the last batch.
  private func plainRun(_ dataset: Dataset, trace: String) throws -> InMemoryTrainer {
    let setup = try TrainingSetup(dataset: dataset, configuration: configuration)
    try InMemoryTrainer.requireMachine(
      has: InMemoryTrainer.bytes(layout: setup.rowLayout, batchLayout: setup.batchLayout)
        + setup.networkBytes,
      "verify on a dataset with fewer rows")
    let workers = WorkerPool(threadCount: setup.threads)
    let trainer = try InMemoryTrainer(
      layout: setup.rowLayout, network: setup.makeNetwork(workers: workers),
      controller: TrainingController(setup), reader: dataset.reader(.train))
    let recorder = try TraceFile(creating: trace)
    try trainer.run(
      0..<batches, store: nil, commitInterval: 64, compactionBlocks: 1, stop: StopSignal(), meter: meter(),
      observer: { try recorder.record($0) })
    return trainer
  }

  private func outOfCoreRun(
    _ dataset: Dataset, _ variant: Variant, modelPath: String, trace: String, plain: InMemoryTrainer
  ) throws -> VerifiedRun {
    var configuration = configuration
    configuration.run.policy = variant.policy
    configuration.run.threads = variant.threads
    let setup = try TrainingSetup(dataset: dataset, configuration: configuration)
    let needs = setup.memoryNeeds(run: configuration.run, commitInterval: variant.commitInterval)
    let budget = needs.budget(lookahead: variant.lookahead, share: variant.budgetShare)
    let plan = try needs.plan(budget: budget, lookahead: variant.lookahead)
    let workers = WorkerPool(threadCount: variant.threads)
    let header = ModelHeader(configuration: configuration, dataset: dataset)
    let stop = StopSignal()
    let comparer = try TraceFile(reading: trace, tables: setup.rowLayout.tables.map(\.name))

    /// Trains until `end`; a second call resumes with an empty cache from the last commit, as a new process would.
    func train(until end: Int) throws {
      let session = try ModelSession(
        path: modelPath, header: header, setup: setup, workers: workers,
        compactionBlocks: plan.compactionBlocks,
        stop: stop)
      let trainer = OutOfCoreTrainer(
        store: session.store, network: session.network,
        controller: TrainingController(setup, state: session.state), workers: workers, memory: plan,
        needs: needs,
        makeDecode: { try decode(dataset) })
      try trainer.run(
        session.cursor..<end, stop: stop, meter: meter(), observer: { try comparer.compare($0) })
    }
    if variant.isResumed, batches > 1 { try train(until: batches / 2) }
    try train(until: batches)
    let store = try ModelStore.openForReading(at: modelPath)
    let snapshot = try Snapshot(store)
    let digest = try snapshot.digest()
    var difference = comparer.difference
    if difference == nil, digest != plain.digest(cursor: plain.cursor) {
      difference =
        try plain.firstDifference(from: snapshot).map { "the end, \($0)" } ?? "the end, dense parameters"
    }
    return VerifiedRun(
      memory: budget, lookahead: plan.lookahead, policy: variant.policy, threads: variant.threads,
      isResumed: variant.isResumed, digest: digest, difference: difference)
  }
}
