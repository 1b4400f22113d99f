import Foundation
import Primitives
import Training

/// What a training run writes: its plan and progress to standard error, its results to standard output.
final class TrainingDisplay {
  private let format: OutputFormat
  private let line = ProgressLine()
  private var previous: RunProgress?
  private var batchesPerEpoch = 1
  private var validationRate = PhaseRate()

  init(format: OutputFormat) { self.format = format }

  /// One line of `--format json`. The last one has `status` and holds the totals of this run; those before hold what
  /// came since the one before.
  private struct Line: Encodable {
    let status: String?
    let epoch: Int
    let batch: Int
    let samples: Int
    let samplesPerSecond: Double
    let loss: Double
    let hitRate: Double
    let fetchedRows: Int
    let overlayRows: Int
    let initialRows: Int
    let evictedRows: Int
    let blocksRead: Int
    let bytesWritten: Int
    let commits: Int
    let compactions: Int
    let seconds: Double
    let secondsWaitingFor: Stalls
    /// How the budget was spent; of the last line of a run out of core.
    let lookahead: Int?
    let memory: Int?
    let memorySplit: [MemoryPlan.Part]?

    init(
      _ progress: RunProgress, since earlier: RunProgress?, status: String?, memory plan: MemoryPlan? = nil
    ) {
      lookahead = plan?.lookahead
      memory = plan?.budget
      memorySplit = plan?.split
      let counters = earlier.map { progress.counters.since($0.counters) } ?? progress.counters
      self.status = status
      epoch = max(0, progress.step) / progress.batchesPerEpoch + 1
      batch = progress.step + 1
      samples = counters.samples
      seconds = progress.seconds - (earlier?.seconds ?? 0)
      samplesPerSecond = seconds > 0 ? Double(samples) / seconds : 0
      loss = counters.loss
      hitRate = counters.hitRate
      fetchedRows = counters.fetchedRows
      overlayRows = counters.overlayRows
      initialRows = counters.initialRows
      evictedRows = counters.evictedRows
      blocksRead = counters.blocksRead
      bytesWritten = counters.bytesWritten
      commits = counters.commits
      compactions = counters.compactions
      let stalls = progress.stalls - (earlier?.stalls ?? StallTimes())
      secondsWaitingFor = Stalls(
        decode: stalls.decode, plan: stalls.plan, evict: stalls.evict, read: stalls.read,
        commit: stalls.commit)
    }

    /// Seconds in which training stood still, by the station that it waited for.
    struct Stalls: Encodable {
      let decode: Double
      let plan: Double
      let evict: Double
      let read: Double
      let commit: Double
    }
  }

  func start(_ start: RunStart, _ configuration: Configuration) {
    var configuration = configuration
    configuration.run.threads = start.threads
    printError(configuration.text.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))
    if let memory = start.memory {
      printError("memory: \(ByteSize.format(memory.total)) of \(ByteSize.format(memory.budget))")
      for part in memory.split {
        printError("  \(part.name): \(ByteSize.format(part.bytes))")
      }
      printError(
        "  cache for \(grouped(memory.cacheRows)) rows, lookahead \(memory.lookahead)"
          + (memory.lookahead < configuration.run.lookahead
            ? " (of \(configuration.run.lookahead): the memory serves longer commits and the cache better)"
            : ""))
    }
    if let difference = start.machineDifference {
      printError("warning: \(difference); results may differ from an uninterrupted run in the last bits")
    }
    if let warm = start.warmStart {
      printError("begun with a model of \(grouped(warm.batches)) batches:")
      for table in warm.tables {
        printError("  \(table.name): \(table.rows.map { "\(grouped($0)) rows" } ?? "not there")")
      }
      printError("  dense parameters: \(warm.denseDifference.map { "fresh, since \($0)" } ?? "taken")")
    }
    if start.firstStep > 0 {
      printError(
        "going on after batch \(grouped(start.firstStep)) of \(grouped(start.endStep))"
          + " (epoch \(start.firstStep / start.batchesPerEpoch + 1))")
    }
    batchesPerEpoch = start.batchesPerEpoch
  }

  func progress(_ progress: RunProgress) {
    let recent = Line(progress, since: previous, status: nil)
    previous = progress
    if format == .json { try? printJSON(recent) }
    let left = Double(progress.endStep - progress.step - 1) / max(1, Double(progress.counters.batches))
    line.show(
      "epoch \(recent.epoch), batch \(grouped(progress.step % batchesPerEpoch + 1)) of \(grouped(batchesPerEpoch)),"
        + " \(grouped(Int(recent.samplesPerSecond))) samples/s, loss \(fixed(recent.loss, 4)),"
        + " hit rate \(fixed(100 * recent.hitRate, 2))%, \(duration(left * progress.seconds)) left")
  }

  func scored(_ samples: Int, of total: Int) {
    line.show(validationRate.describe("validating", done: samples, total: total))
  }

  func validated(_ outcome: ValidationOutcome) {
    line.clear()
    validationRate = PhaseRate()
    let record = outcome.record
    var parts = ["AUC \(record.auc.map { fixed($0, 6) } ?? "undefined")"]
    if let grouped = record.groupedAUC { parts.append("grouped AUC \(fixed(grouped, 6))") }
    parts += [
      "log loss \(fixed(record.logLoss, 6))", "accuracy \(percent(record.accuracy))",
      "in \(fixed(record.notPartOfTheModel.validationSeconds, 1)) s",
    ]
    if record.isBest { parts.append("the best so far") }
    printError("validation at batch \(grouped(record.step)): \(parts.joined(separator: ", "))")
    if let copy = outcome.copy {
      printError("  copied to \(copy.path): \(ByteSize.format(copy.bytes)) in \(fixed(copy.seconds, 1)) s")
    }
  }

  func end(_ summary: RunSummary, model: String, _ run: RunConfiguration) throws {
    line.clear()
    let total = Line(
      summary.progress, since: nil, status: status(summary.end), memory: summary.memory)
    if format == .json { return try printJSON(total) }
    let counters = summary.progress.counters
    switch summary.end {
    case .alreadyFinished:
      let flags = run.flags(for: total.batch + 1, batchesPerEpoch: summary.progress.batchesPerEpoch)
      printLine("\(model) has finished its \(grouped(total.batch)) batches; give \(flags) or more to go on")
      return
    case .interrupted:
      printLine(
        "stopped after batch \(grouped(total.batch)); everything is committed, run the same command to go on")
    case .stoppedEarly:
      printLine(
        "\(model) stopped early after batch \(grouped(total.batch)): validations brought no better value")
    case .finished:
      printLine("\(model) is trained: \(grouped(total.batch)) batches")
    }
    let stalls = summary.progress.stalls
    var rows = [("samples", grouped(total.samples))]
    if let best = summary.best {
      rows.append(("best", "\(fixed(best.value, 6)) after batch \(grouped(best.step))"))
    }
    rows += [
      ("samples/s", grouped(Int(total.samplesPerSecond))),
      ("loss", fixed(total.loss, 5)),
      ("hit rate", fixed(100 * total.hitRate, 2) + "%"),
      ("fetched rows", grouped(total.fetchedRows)),
      ("blocks read", grouped(total.blocksRead)),
      ("commits", grouped(total.commits)),
      ("compactions", grouped(total.compactions)),
      ("written", ByteSize.format(counters.bytesWritten)),
      (
        "waited",
        "\(fixed(stalls.total, 1)) s of \(fixed(total.seconds, 1)) s: decode \(fixed(stalls.decode, 1)), plan"
          + " \(fixed(stalls.plan, 1)), evict \(fixed(stalls.evict, 1)), read \(fixed(stalls.read, 1)), commit"
          + " \(fixed(stalls.commit, 1))"
      ),
    ]
    printTable(rows)
  }

  private func status(_ end: RunSummary.End) -> String {
    switch end {
    case .finished: "finished"
    case .stoppedEarly: "stopped_early"
    case .alreadyFinished: "already_finished"
    case .interrupted: "interrupted"
    }
  }
}
