public import Primitives

/// What one plan step does, as lists over preallocated buffers: move rows out, bring rows in, and the slot of every
/// row that the batch uses. The lists are carried out in the order in which they stand here.
///
/// Unchecked `Sendable`: filled by the planner, then handed on, batch by batch, through channels.
public final class StepPlan: @unchecked Sendable {
  /// Marks an eviction whose row needs no place in the overlay: its block is as new.
  public static let discarded = UInt32.max

  /// Number of the batch counted from the start of training, over all epochs.
  public internal(set) var step = 0

  /// Before anything else of this step: the compaction that followed the commit after this step has to be finished,
  /// reads have to see it, and the overlay forgets what it made superfluous.
  public internal(set) var awaitsCompactionAfter: Int?

  /// Rows that leave their slot: `evictedSlots[i]` goes to overlay slot `evictedTo[i]`, or nowhere (`discarded`).
  public internal(set) var evictedCount = 0
  public let evictedSlots: AlignedBuffer<UInt32>
  public let evictedTo: AlignedBuffer<UInt32>

  /// Rows that come back from the overlay: overlay slot to cache slot.
  public internal(set) var overlayCount = 0
  public let overlayFrom: AlignedBuffer<UInt32>
  public let overlaySlots: AlignedBuffer<UInt32>

  /// Rows that nothing was ever stored for: they get their initial value without a read.
  public internal(set) var initialCount = 0
  public let initialKeys: AlignedBuffer<RowKey>
  public let initialSlots: AlignedBuffer<UInt32>

  /// Rows that are read from their block, ascending by key.
  public internal(set) var blockRowCount = 0
  public let blockRowKeys: AlignedBuffer<RowKey>
  public let blockRowSlots: AlignedBuffer<UInt32>
  /// Distinct blocks of these rows, whether stored yet or not.
  public internal(set) var blockCount = 0

  /// Slot of each distinct row of the batch, in the batch's order.
  public internal(set) var uniqueCount = 0
  public let slots: AlignedBuffer<UInt32>

  /// Whether a commit follows this batch, and whether a compaction follows that commit.
  public internal(set) var commitsAfter = false
  public internal(set) var compactsAfter = false

  public var fetchedCount: Int { overlayCount + initialCount + blockRowCount }
  public var hitCount: Int { uniqueCount - fetchedCount }

  /// - Parameter maximumUniqueRows: the most distinct rows of a batch. A step brings in at most so many, and with
  ///   policy `window` may move out as many as the largest batch used.
  public init(maximumUniqueRows count: Int) {
    evictedSlots = AlignedBuffer(count: count)
    evictedTo = AlignedBuffer(count: count)
    overlayFrom = AlignedBuffer(count: count)
    overlaySlots = AlignedBuffer(count: count)
    initialKeys = AlignedBuffer(count: count)
    initialSlots = AlignedBuffer(count: count)
    blockRowKeys = AlignedBuffer(count: count)
    blockRowSlots = AlignedBuffer(count: count)
    slots = AlignedBuffer(count: count)
  }

  public static func bytes(maximumUniqueRows: Int) -> Int { maximumUniqueRows * (7 * 4 + 2 * 8) }

  func reset(step: Int, uniqueCount: Int) {
    self.step = step
    self.uniqueCount = uniqueCount
    awaitsCompactionAfter = nil
    evictedCount = 0
    overlayCount = 0
    initialCount = 0
    blockRowCount = 0
    blockCount = 0
    commitsAfter = false
    compactsAfter = false
  }
}
