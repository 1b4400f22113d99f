import RowCache

/// Counts a run and reports it now and then. The clock decides when to report and nothing else.
final class RunMeter {
  private(set) var counters = RunCounters()
  private let clock = ContinuousClock()
  private var start: ContinuousClock.Instant
  private var lastReport: ContinuousClock.Instant
  /// What training waited for so far.
  var stalls = StallTimes()
  private let endStep: Int
  private let batchesPerEpoch: Int
  private let display: (RunProgress) -> Void
  private static let reportInterval = Duration.milliseconds(500)

  init(endStep: Int, batchesPerEpoch: Int, display: @escaping (RunProgress) -> Void) {
    self.endStep = endStep
    self.batchesPerEpoch = batchesPerEpoch
    self.display = display
    start = clock.now
    lastReport = start
  }

  /// The first batch comes next: what went before is not the run's speed.
  func begin() {
    start = clock.now
    lastReport = start
  }

  func count(_ executed: ExecutedStep, uniqueRows: Int, samples: Int, loss: Double) {
    counters.count(executed)
    count(samples: samples, uniqueRows: uniqueRows, loss: loss)
  }

  func count(samples: Int, uniqueRows: Int, loss: Double) {
    counters.count(samples: samples, uniqueRows: uniqueRows)
    counters.lossSum += loss
  }

  func count(_ writer: CommitWriter.Totals) {
    counters.commits = writer.commits
    counters.compactions = writer.compactions
    counters.bytesWritten = writer.bytesWritten
  }

  func count(compactedBytes bytes: Int) {
    if bytes > 0 { counters.compactions += 1 }
    counters.bytesWritten += bytes
  }

  func waitingForCommit<Result>(_ body: () throws -> Result) rethrows -> Result {
    let before = clock.now
    defer { stalls[.commit] += seconds(clock.now - before) }
    return try body()
  }

  func report(step: Int, writer: @autoclosure () -> CommitWriter.Totals) {
    let now = clock.now
    guard now - lastReport >= Self.reportInterval else { return }
    lastReport = now
    count(writer())
    display(progress(step: step))
  }

  func progress(step: Int) -> RunProgress {
    RunProgress(
      step: step, endStep: endStep, batchesPerEpoch: batchesPerEpoch, counters: counters,
      seconds: seconds(clock.now - start), stalls: stalls)
  }

  private func seconds(_ duration: Duration) -> Double { duration / .seconds(1) }
}
