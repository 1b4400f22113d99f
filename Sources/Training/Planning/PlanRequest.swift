import BatchStore
public import Lookahead
import Primitives

/// Foretells a training run from scratch exactly: what it fetches, evicts, reads and writes, for the wanted budget and for
/// a table of others, without training.
public struct PlanRequest {
  public var datasetPath: String
  public var configuration: Configuration
  /// Bytes that the run may take.
  public var memory: Int
  /// Adds every other policy at every budget.
  public var comparesPolicies = false
  /// Whether the run begins with another model's weights: then first-touch flags save no read.
  public var isWarmStarted = false
  /// As in `TrainingRequest`.
  public var commitInterval = 64
  /// Called now and then with batches planned so far and in all, over all passes.
  public var progressed: (_ done: Int, _ total: Int) -> Void = { _, _ in }

  public init(datasetPath: String, configuration: Configuration, memory: Int) {
    self.datasetPath = datasetPath
    self.configuration = configuration
    self.memory = memory
  }
}

/// What a run will do with one budget and one policy.
public struct PlannedBudget: Sendable {
  /// Share of the touched bytes, or nil for the budget that was asked about.
  public let share: Double?
  public let budget: Int
  public let policy: EvictionPolicy
  /// Nil where the budget is below the minimum.
  public internal(set) var outcome: Outcome?

  public struct Outcome: Sendable {
    public let memory: MemoryPlan
    /// All but the loss, which only training can tell.
    public let counters: RunCounters
  }
}

public struct PlanReport: Sendable {
  public struct Table: Sendable {
    public let name: String
    /// Declared rows, and those that the training data uses.
    public let rows: Int
    public let touchedRows: Int
  }

  public let tables: [Table]
  /// Weights and optimizer state of one row.
  public let rowBytes: Int
  public let batchesPerEpoch: Int
  public let epochs: Int
  /// The least budget that works.
  public let minimumMemory: Int
  /// The budget asked about, with the configured policy.
  public let memory: MemoryPlan
  public let counters: RunCounters
  /// Shares of the touched bytes, ascending; for each the configured policy first.
  public let budgets: [PlannedBudget]
  /// The budget asked about with every other policy; empty unless policies are compared.
  public let alternatives: [PlannedBudget]

  public var touchedRows: Int { tables.reduce(0) { $0 + $1.touchedRows } }
  /// Bytes of all rows that the training data uses.
  public var touchedBytes: Int { touchedRows * rowBytes }
}

extension PlanRequest {
  /// Budgets of the table, as shares of the touched bytes.
  public static let shares = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
  /// Runs are planned side by side while they hold no more than this together.
  private static let bytesSideBySide = 1 << 30

  /// - Throws: `.budget` below the least memory, naming it; what the stores throw.
  public func run() throws -> PlanReport {
    let dataset = try Dataset(opening: datasetPath)
    let setup = try TrainingSetup(dataset: dataset, configuration: configuration)
    func needs(_ policy: EvictionPolicy) -> MemoryNeeds {
      var run = configuration.run
      run.policy = policy
      var needs = setup.memoryNeeds(run: run, commitInterval: commitInterval)
      if isWarmStarted { needs.trustsFirstTouchBefore = 0 }
      return needs
    }
    let wanted = configuration.run.policy
    let others = comparesPolicies ? EvictionPolicy.allCases.filter { $0 != wanted } : []
    let own = needs(wanted)
    // Before any pass over the data, so that a budget that is too small is told at once.
    _ = try own.plan(budget: memory, wantedLookahead: configuration.run.lookahead)

    let reader = try dataset.reader(.train)
    let batch = Batch(layout: reader.layout)
    let touched = try touchedRows(reader, batch)
    let touchedBytes = touched.reduce(0, +) * setup.rowLayout.rowBytes
    var budgets = ([wanted] + others).map {
      PlannedBudget(share: nil, budget: memory, policy: $0, outcome: nil)
    }
    for share in Self.shares {
      let bytes = Int((Double(touchedBytes) * share).rounded())
      for policy in [wanted] + others {
        budgets.append(PlannedBudget(share: share, budget: bytes, policy: policy, outcome: nil))
      }
    }
    try count(&budgets, needs, minimum: own.minimum, reader, batch, WorkerPool(threadCount: setup.threads))
    guard let asked = budgets[0].outcome else {
      throw ChanterError(.broken, "the budget asked about was not planned")
    }
    return PlanReport(
      tables: zip(setup.rowLayout.tables, touched).map {
        PlanReport.Table(name: $0.name, rows: Int($0.rows), touchedRows: $1)
      },
      rowBytes: setup.rowLayout.rowBytes, batchesPerEpoch: reader.batchCount,
      epochs: configuration.run.epochs, minimumMemory: own.minimum, memory: asked.memory,
      counters: asked.counters, budgets: budgets.filter { $0.share != nil },
      alternatives: Array(budgets[1..<1 + others.count]))
  }

  /// Rows of each table that the training data uses: each has one batch that uses it first.
  private func touchedRows(_ reader: BatchReader, _ batch: Batch) throws -> [Int] {
    var touched = Array(repeating: 0, count: reader.layout.tableCount)
    for index in 0..<reader.batchCount {
      try reader.read(index, into: batch)
      for table in touched.indices {
        let range = Int(batch.tableOffsets.base[table])..<Int(batch.tableOffsets.base[table + 1])
        for position in range { touched[table] += Int(batch.firstTouch.base[position]) }
      }
    }
    return touched
  }

  /// Plans every budget that works, as many at once as memory allows, with one pass over the data for each such group.
  private func count(
    _ budgets: inout [PlannedBudget], _ needs: (EvictionPolicy) -> MemoryNeeds, minimum: Int,
    _ reader: BatchReader, _ batch: Batch, _ workers: WorkerPool
  ) throws {
    let plans = try budgets.map { candidate in
      guard candidate.budget >= minimum else { return nil as MemoryPlan? }
      return try needs(candidate.policy).plan(
        budget: candidate.budget, wantedLookahead: configuration.run.lookahead)
    }
    func bytes(_ index: Int) -> Int {
      plans[index].map { PlannedRun.bytes($0, needs(budgets[index].policy)) } ?? 0
    }
    var groups: [[Int]] = []
    var held = Int.max
    for index in budgets.indices where plans[index] != nil {
      let size = bytes(index)
      if groups.isEmpty || held + size > Self.bytesSideBySide {
        groups.append([])
        held = 0
      }
      groups[groups.count - 1].append(index)
      held += size
    }
    let steps = try configuration.run.endStep(batchesPerEpoch: reader.batchCount)
    var done = 0
    for group in groups {
      let runs = group.compactMap { index in
        plans[index].map { (index: index, memory: $0, run: PlannedRun($0, needs(budgets[index].policy))) }
      }
      for step in 0..<steps {
        try reader.read(step % reader.batchCount, into: batch)
        try planSideBySide(runs.map(\.run), batch, workers)
        done += 1
        progressed(done, steps * groups.count)
      }
      for (index, memory, run) in runs {
        run.finish()
        budgets[index].outcome = PlannedBudget.Outcome(memory: memory, counters: run.counters)
      }
    }
  }

  private func planSideBySide(_ runs: [PlannedRun], _ batch: Batch, _ workers: WorkerPool) throws {
    let failure = Monitor<(any Error)?>(nil)
    workers.run(runs.count) { task, _ in
      do { try runs[task].step(batch) } catch { failure.update { $0 = error } }
    }
    if let error = failure.update({ $0 }) { throw error }
  }
}
