/// Which idle row leaves the cache when room is needed.
public enum EvictionPolicy: String, CaseIterable, Codable, Sendable {
  /// The row with the farthest next use (Belady 1966, MIN): the fewest fetches that any policy can reach.
  case min
  /// BagPipe's rule (SOSP'23, section 3.2): a row leaves as soon as none of the H batches in the window uses it.
  case window
  /// The row whose last use is the longest ago: what a cache that knows no future does. To compare with.
  case lru
}

/// Everything that a plan depends on beside the batches themselves. Sizes are rows unless they say otherwise.
public struct PlannerConfiguration: Equatable, Sendable {
  /// Lookahead H: batches planned and fetched ahead of the one in training, that one included. At least 1.
  public var lookahead: Int
  public var policy: EvictionPolicy
  /// Slots of the cache. Must hold the distinct rows of any `lookahead` consecutive batches.
  public var cacheRows: Int
  /// Slots of the overlay, where evicted rows wait that are newer than their block. At least
  /// `maximumUniqueRows`, better `leastOverlayRows(lookahead:maximumUniqueRows:)`; 0 when nothing is trained.
  public var overlayRows: Int
  /// Rows that one commit can hold. At least `maximumUniqueRows`; 0 when nothing is trained.
  public var commitRows: Int
  /// A commit follows every batch whose number plus one is a multiple of this, and earlier where room demands it.
  public var commitInterval: Int
  /// A commit also follows every batch whose number plus one is a multiple of this; nil for none. Validation lies there.
  public var boundaryInterval: Int?
  /// A compaction follows the commit that makes so many since the last compaction, or earlier where room demands it.
  public var commitsPerCompaction: Int
  public static let defaultCommitsPerCompaction = 16
  /// The most distinct rows that one batch uses.
  public var maximumUniqueRows: Int
  /// Rows that share a block, to count the blocks that will be looked up.
  public var rowsPerBlock: Int
  /// Whether batches change the rows they use. Without training there are no commits and no overlay.
  public var trains: Bool
  /// First-touch flags save a read in steps before this one: the first epoch of a model created from scratch on this
  /// dataset. 0 ignores them.
  public var trustsFirstTouchBefore: Int

  public init(
    lookahead: Int, policy: EvictionPolicy, cacheRows: Int, overlayRows: Int, commitRows: Int,
    commitInterval: Int = 64, boundaryInterval: Int? = nil,
    commitsPerCompaction: Int = defaultCommitsPerCompaction, maximumUniqueRows: Int,
    rowsPerBlock: Int,
    trains: Bool = true, trustsFirstTouchBefore: Int = 0
  ) {
    self.lookahead = lookahead
    self.policy = policy
    self.cacheRows = cacheRows
    self.overlayRows = overlayRows
    self.commitRows = commitRows
    self.commitInterval = commitInterval
    self.boundaryInterval = boundaryInterval
    self.commitsPerCompaction = commitsPerCompaction
    self.maximumUniqueRows = maximumUniqueRows
    self.rowsPerBlock = rowsPerBlock
    self.trains = trains
    self.trustsFirstTouchBefore = trustsFirstTouchBefore
  }

  /// The least overlay that training goes on well with.
  ///
  /// One batch's rows are the least that works at all: whenever the next step might not find room, the plan drains the
  /// pipeline, which means that every batch planned is trained, committed and compacted before the next step is carried out. A
  /// compaction asked for in time frees the overlay H steps later at the earliest; four batches' rows are what H steps evict
  /// where a batch shares most of its rows with those before it.
  public static func leastOverlayRows(lookahead: Int, maximumUniqueRows: Int) -> Int {
    min(lookahead + 1, 4) * maximumUniqueRows
  }

  /// Bytes that a planner of this configuration allocates.
  public var memoryBytes: Int {
    let slots = cacheRows * (8 + 4 + 4) + KeyTable.bytes(capacity: cacheRows)
    let heap = cacheRows * VictimHeap.bytesPerSlot
    let recent = lookahead * maximumUniqueRows * 4
    guard trains else { return slots + heap + recent }
    return slots + heap + recent + OverlayPlan.bytes(self) + DirtyRows.bytes(capacity: dirtyRowsCapacity)
  }

  /// Changed rows whose commit has no list yet: one full commit, and what the batches planned since then add.
  var dirtyRowsCapacity: Int { commitRows + (lookahead + 1) * maximumUniqueRows }
}
