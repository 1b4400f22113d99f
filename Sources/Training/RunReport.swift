import Lookahead
import RowCache

/// What a run has done so far: functions of dataset, configuration and budget, but for the compactions of a run that is
/// stopped, which end where they were.
public struct RunCounters: Equatable, Sendable {
  public var batches = 0
  public var samples = 0
  /// Distinct rows of each batch, summed: what the cache was asked for.
  public var uniqueRows = 0
  /// Rows that were not in the cache.
  public var fetchedRows = 0
  /// Of these, rows that came back from the overlay, and rows that needed no read since nothing was stored for them.
  public var overlayRows = 0
  public var initialRows = 0
  public var evictedRows = 0
  /// Distinct blocks looked up, summed over the batches, whether they were stored yet or not.
  public var blocksRead = 0
  public var commits = 0
  public var compactions = 0
  /// Bytes of the values put into the store: chunks, blocks, dense records.
  public var bytesWritten = 0
  /// Sum of the log loss over the samples.
  public var lossSum = 0.0

  /// Share of the rows asked for that the cache held.
  public var hitRate: Double { uniqueRows > 0 ? 1 - Double(fetchedRows) / Double(uniqueRows) : 0 }
  public var loss: Double { samples > 0 ? lossSum / Double(samples) : 0 }

  /// Rows asked for that the cache held.
  public var hits: Int { uniqueRows - fetchedRows }

  mutating func count(_ plan: StepPlan, samples: Int) {
    count(samples: samples, uniqueRows: plan.uniqueCount)
    fetchedRows += plan.fetchedCount
    overlayRows += plan.overlayCount
    initialRows += plan.initialCount
    evictedRows += plan.evictedCount
    blocksRead += plan.blockCount
  }

  mutating func count(_ executed: ExecutedStep) {
    fetchedRows += executed.fetchedRows
    overlayRows += executed.overlayRows
    initialRows += executed.initialRows
    evictedRows += executed.evictedRows
    blocksRead += executed.blocks
  }

  mutating func count(samples: Int, uniqueRows: Int) {
    batches += 1
    self.samples += samples
    self.uniqueRows += uniqueRows
  }

  /// What came since `earlier`.
  public func since(_ earlier: RunCounters) -> RunCounters {
    var result = self
    result.batches -= earlier.batches
    result.samples -= earlier.samples
    result.uniqueRows -= earlier.uniqueRows
    result.fetchedRows -= earlier.fetchedRows
    result.overlayRows -= earlier.overlayRows
    result.initialRows -= earlier.initialRows
    result.evictedRows -= earlier.evictedRows
    result.blocksRead -= earlier.blocksRead
    result.commits -= earlier.commits
    result.compactions -= earlier.compactions
    result.bytesWritten -= earlier.bytesWritten
    result.lossSum -= earlier.lossSum
    return result
  }
}

/// A moment of a run, for the progress display.
public struct RunProgress: Sendable {
  /// Batch that was just trained, counted over all epochs, and the end.
  public let step: Int
  public let endStep: Int
  public let batchesPerEpoch: Int
  public let counters: RunCounters
  /// Seconds since the first batch of this run.
  public let seconds: Double
  /// Of these, seconds in which training waited, by what for.
  public let stalls: StallTimes
}

/// How a training run ended.
public struct RunSummary: Sendable {
  public enum End: Sendable {
    case finished
    /// A validation ended it: no better value for as long as patience allows. Also where that was so before.
    case stoppedEarly
    /// Everything wanted was trained before; nothing was done.
    case alreadyFinished
    /// A signal stopped it; the commit holds everything trained.
    case interrupted
  }
  public let end: End
  public let progress: RunProgress
  /// Nil for an in-memory run.
  public let memory: MemoryPlan?
  /// Batches trained before the best validation, and its value; nil without one.
  public let best: (step: Int, value: Double)?
}
