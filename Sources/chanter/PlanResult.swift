import Lookahead
import Training

/// What `chanter plan --format json` prints.
struct PlanResult: Encodable {
  struct Table: Encodable {
    let name: String
    let rows: Int
    let bytes: Int
    let touchedRows: Int
    let touchedBytes: Int
  }

  struct Budget: Encodable {
    /// Of the touched bytes; absent for the memory asked about.
    let share: Double?
    let memory: Int
    let policy: String
    let works: Bool
    /// Absent, as all below, where the memory is below the minimum.
    let rowsResident: Int?
    let lookahead: Int?
    let hitRate: Double?
    let hits: Int?
    let fetches: Int?
    let evictions: Int?
    let blocksRead: Int?
    let bytesWritten: Int?

    init(_ planned: PlannedBudget) {
      share = planned.share
      memory = planned.budget
      policy = planned.policy.rawValue
      works = planned.outcome != nil
      rowsResident = planned.outcome?.memory.cacheRows
      lookahead = planned.outcome?.memory.lookahead
      let counters = planned.outcome?.counters
      hitRate = counters?.hitRate
      hits = counters?.hits
      fetches = counters?.fetchedRows
      evictions = counters?.evictedRows
      blocksRead = counters?.blocksRead
      bytesWritten = counters?.bytesWritten
    }
  }

  let minimumMemory: Int
  let memory: Int
  let memorySplit: [MemoryPlan.Part]
  let rowsResident: Int
  let lookahead: Int
  let rowBytes: Int
  let tables: [Table]
  let touchedRows: Int
  let touchedBytes: Int
  let epochs: Int
  let samples: Int
  let batches: Int
  let hitRate: Double
  let hits: Int
  let fetches: Int
  let overlayRows: Int
  let initialRows: Int
  let evictions: Int
  let blocksRead: Int
  let bytesWritten: Int
  let commits: Int
  let compactions: Int
  let budgets: [Budget]
  let alternatives: [Budget]

  init(_ report: PlanReport) {
    minimumMemory = report.minimumMemory
    memory = report.memory.budget
    memorySplit = report.memory.split
    rowsResident = report.memory.cacheRows
    lookahead = report.memory.lookahead
    rowBytes = report.rowBytes
    tables = report.tables.map {
      Table(
        name: $0.name, rows: $0.rows, bytes: $0.rows * report.rowBytes, touchedRows: $0.touchedRows,
        touchedBytes: $0.touchedRows * report.rowBytes)
    }
    touchedRows = report.touchedRows
    touchedBytes = report.touchedBytes
    epochs = report.epochs
    let counters = report.counters
    samples = counters.samples
    batches = counters.batches
    hitRate = counters.hitRate
    hits = counters.hits
    fetches = counters.fetchedRows
    overlayRows = counters.overlayRows
    initialRows = counters.initialRows
    evictions = counters.evictedRows
    blocksRead = counters.blocksRead
    bytesWritten = counters.bytesWritten
    commits = counters.commits
    compactions = counters.compactions
    budgets = report.budgets.map(Budget.init)
    alternatives = report.alternatives.map(Budget.init)
  }
}
