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
  public let policy: EvictionPolicy
  public let memory: MemoryPlan
  /// All but the loss, which only training can tell.
  public internal(set) var counters = RunCounters()
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
  /// Budgets from the least that works to one that keeps every row, ascending; for each the configured policy first.
  public let budgets: [PlannedBudget]
  /// The budget asked about with every other policy; empty unless policies are compared.
  public let alternatives: [PlannedBudget]

  public var touchedRows: Int { tables.reduce(0) { $0 + $1.touchedRows } }
  /// Bytes of all rows that the training data uses.
  public var touchedBytes: Int { touchedRows * rowBytes }
  /// The rows that a budget keeps, as a share of those that the training data uses; at most 1.
  public func residentShare(_ planned: PlannedBudget) -> Double {
    min(1, Double(planned.memory.cacheRows) / Double(max(1, touchedRows)))
  }
}

extension PlanRequest {
  /// Budgets of the table: where the rows that each keeps lie between those of the least budget (0) and all that the
  /// training data uses (1).
  static let shares = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
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
    let sizes = try [memory] + tableBudgets(own, touchedRows: touched.reduce(0, +))
    var planned = try sizes.flatMap { budget in
      try ([wanted] + others).map {
        PlannedBudget(
          policy: $0,
          memory: try needs($0).plan(budget: budget, wantedLookahead: configuration.run.lookahead))
      }
    }
    try count(&planned, needs, reader, batch, WorkerPool(threadCount: setup.threads))
    return PlanReport(
      tables: zip(setup.rowLayout.tables, touched).map {
        PlanReport.Table(name: $0.name, rows: Int($0.rows), touchedRows: $1)
      },
      rowBytes: setup.rowLayout.rowBytes, batchesPerEpoch: reader.batchCount,
      epochs: configuration.run.epochs, minimumMemory: own.minimum, memory: planned[0].memory,
      counters: planned[0].counters, budgets: Array(planned[(1 + others.count)...]),
      alternatives: Array(planned[1..<1 + others.count]))
  }

  /// Ascending, each once, and none below the least; each can be typed as it is printed.
  private func tableBudgets(_ needs: MemoryNeeds, touchedRows: Int) throws -> [Int] {
    let lookahead = configuration.run.lookahead
    let least = try needs.plan(budget: needs.minimum, wantedLookahead: lookahead).cacheRows
    var budgets: [Int] = []
    for share in Self.shares {
      let rows = least + Int((Double(max(0, touchedRows - least)) * share).rounded(.up))
      let budget = ByteSize.printable(try needs.budget(keeping: rows, wantedLookahead: lookahead))
      if budget > budgets.last ?? 0 { budgets.append(budget) }
    }
    return budgets
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

  /// Plans every budget, as many at once as memory allows, with one pass over the data for each such group.
  private func count(
    _ budgets: inout [PlannedBudget], _ needs: (EvictionPolicy) -> MemoryNeeds, _ reader: BatchReader,
    _ batch: Batch, _ workers: WorkerPool
  ) throws {
    var groups: [[Int]] = []
    var held = Int.max
    for (index, budget) in budgets.enumerated() {
      let size = PlannedRun.bytes(budget.memory, needs(budget.policy))
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
      let runs = group.map { PlannedRun(budgets[$0].memory, needs(budgets[$0].policy)) }
      for step in 0..<steps {
        try reader.read(step % reader.batchCount, into: batch)
        try planSideBySide(runs, batch, workers)
        done += 1
        progressed(done, steps * groups.count)
      }
      for (index, run) in zip(group, runs) {
        run.finish()
        budgets[index].counters = run.counters
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
