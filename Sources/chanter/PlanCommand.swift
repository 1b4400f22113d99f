import ArgumentParser
import Lookahead
import Primitives
import Training

struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell what a training run will fetch, evict, read and write, exactly and before it is begun.",
    discussion: """
      Takes the options of train, runs its planner over the dataset without rows or maths, and prints the counters that \
      a run from scratch that validation does not stop early will end with: for --memory, and for budgets from the least that works \
      to one that keeps every row that the training data uses. Planning holds about 50 bytes for each row of the caches planned side by side, up to 1 GiB of \
      them, or of the largest alone.

      Examples:
        chanter plan clicks.dataset --config data/configs/dlrm.yaml --memory 4GiB
        chanter plan clicks.dataset --config data/configs/dlrm.yaml --memory 4GiB --epochs 2 --compare
        chanter plan clicks.dataset --config data/configs/dlrm.yaml --memory 4GiB --format json
      """)

  @Argument(help: "Dataset made by preprocess.") var dataset: String
  @Option(help: "Bytes that the run may take, such as 4GiB. The least that works is named if it is less.")
  var memory: MemorySize
  @OptionGroup var options: RunOptions
  @Flag(help: "Plan every policy at every budget, side by side.") var compare = false
  @OptionGroup var output: FormatOption

  func run() throws {
    var request = PlanRequest(
      datasetPath: dataset, configuration: try options.read(), memory: memory.bytes)
    request.comparesPolicies = compare
    request.isWarmStarted = options.control.from != nil
    let line = ProgressLine()
    var rate = PhaseRate()
    request.progressed = { line.show(rate.describe("planning batches", done: $0, total: $1)) }
    let report = try request.run()
    line.clear()
    switch output.format {
    case .json: try printJSON(PlanResult(report))
    case .text: print(report)
    }
  }

  private func print(_ report: PlanReport) {
    let batches = report.counters.batches
    printColumns(
      ["table", "rows", "touched", "bytes touched"],
      report.tables.map {
        [
          $0.name, grouped($0.rows), grouped($0.touchedRows),
          ByteSize.format($0.touchedRows * report.rowBytes),
        ]
      } + [
        [
          "all", grouped(report.tables.reduce(0) { $0 + $1.rows }), grouped(report.touchedRows),
          ByteSize.format(report.touchedBytes),
        ]
      ])
    let memory = report.memory
    printHeading("memory: \(ByteSize.format(memory.total)) of \(ByteSize.format(memory.budget))")
    printTable(memory.split.map { ($0.name, ByteSize.format($0.bytes)) })
    printTable([
      ("rows resident", grouped(memory.cacheRows)),
      ("lookahead", grouped(memory.lookahead)),
      ("least that works", ByteSize.ceilingMebibytes(report.minimumMemory)),
    ])
    let counters = report.counters
    printHeading("the run: \(grouped(batches)) batches")
    func row(_ name: String, _ total: Int) -> [String] {
      [name, grouped(total), fixed(Double(total) / Double(max(1, batches)), 1)]
    }
    printColumns(
      ["", "in total", "a batch"],
      [
        row("rows asked for", counters.uniqueRows), row("hits", counters.hits),
        row("fetches", counters.fetchedRows), row("  from the overlay", counters.overlayRows),
        row("  never stored before", counters.initialRows), row("evictions", counters.evictedRows),
        row("blocks read", counters.blocksRead), row("bytes written", counters.bytesWritten),
        row("commits", counters.commits), row("compactions", counters.compactions),
      ])
    printLine("hit rate \(percent(counters.hitRate)), written \(ByteSize.format(counters.bytesWritten))")
    if !report.alternatives.isEmpty {
      printHeading("the same memory with other policies")
      printBudgets(report.alternatives, report)
    }
    printHeading("other budgets, from the least to one for all \(grouped(report.touchedRows)) rows touched")
    printBudgets(report.budgets, report)
  }

  private func printBudgets(_ budgets: [PlannedBudget], _ report: PlanReport) {
    printColumns(
      ["memory", "policy", "rows resident", "of touched", "hit rate", "fetches", "blocks read", "written"],
      budgets.map { planned in
        let counters = planned.counters
        return [
          ByteSize.format(planned.memory.budget), planned.policy.rawValue, grouped(planned.memory.cacheRows),
          percent(report.residentShare(planned)), percent(counters.hitRate), grouped(counters.fetchedRows),
          grouped(counters.blocksRead), ByteSize.format(counters.bytesWritten),
        ]
      })
  }
}
