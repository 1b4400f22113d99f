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
    /// Rows resident over rows touched, at most 1.
    let share: Double
    let memory: Int
    let policy: String
    let rowsResident: Int
    let lookahead: Int
    let hitRate: Double
    let hits: Int
    let fetches: Int
    let evictions: Int
    let blocksRead: Int
    let bytesWritten: Int

    init(_ planned: PlannedBudget, _ report: PlanReport) {
      share = report.residentShare(planned)
      memory = planned.memory.budget
      policy = planned.policy.rawValue
      rowsResident = planned.memory.cacheRows
      lookahead = planned.memory.lookahead
      let counters = planned.counters
      hitRate = counters.hitRate
      hits = counters.hits
      fetches = counters.fetchedRows
      evictions = counters.evictedRows
      blocksRead = counters.blocksRead
      bytesWritten = counters.bytesWritten
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
    budgets = report.budgets.map { Budget($0, report) }
    alternatives = report.alternatives.map { Budget($0, report) }
  }
}
