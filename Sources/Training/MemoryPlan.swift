import BatchStore
import Foundation
import Lookahead
import Models
import Primitives
import RowCache
import TableStore

/// How a memory budget is spent, in bytes that the stations allocate. Outside it lie the program itself, its threads' stacks
/// and the buffers that OpenBLAS keeps, together less than 64 MB.
public struct MemoryPlan: Equatable, Sendable {
  public let budget: Int
  /// Lookahead in force: the wanted one, or less where the budget cannot hold the rows of so many batches.
  public let lookahead: Int
  public let cacheRows: Int
  public let overlayRows: Int
  public let commitRows: Int
  public let compactionBlocks: Int
  /// What a validation may take while training stands still; 0 without.
  public let validationBytes: Int
  /// Named parts in bytes; their sum is at most the budget.
  public let split: [Part]

  public struct Part: Equatable, Sendable, Codable {
    public let name: String
    public let bytes: Int
  }

  public var total: Int { split.reduce(0) { $0 + $1.bytes } }
}

/// What a memory plan depends on, for training and for scoring alike.
struct MemoryNeeds {
  let rowLayout: RowLayout
  let batchLayout: BatchLayout
  /// Bytes of the dense model: parameters, optimizer state, gradients.
  let denseBytes: Int
  let activationBytes: Int
  /// Bytes of the dense record that a commit copies; 0 when nothing is trained.
  let denseRecordBytes: Int
  let readerBytes: Int
  /// The most distinct rows in any window of this many consecutive batches, or an upper bound of it.
  let largestUnion: (_ batches: Int) -> Int
  /// Distinct rows in all: a cache larger than this gains nothing.
  let allRows: Int
  let policy: EvictionPolicy
  let trains: Bool
  let commitInterval: Int
  /// Batches from one validation to the next, and the least and the most memory that one takes; nil without.
  var validation: (interval: Int, bytes: ClosedRange<Int>)?
  /// Steps before this one may trust first-touch flags.
  var trustsFirstTouchBefore: Int

  private var unique: Int { batchLayout.maximumUniqueRows }
  /// Each transaction of a compaction ends with a sync, so smaller ones would spend their time waiting for the disk.
  private static let leastCompactionBlocks = 256
  /// LMDB spills a transaction past 131,071 dirty pages; stay well below.
  static let mostCompactionBlocks = 50_000
  /// More than a compaction ever finds; each costs it about 200 bytes.
  private static let mostCompactedCommits = 256

  /// A freeze plan tells cache from overlay by the highest bit of a slot.
  private static let mostSlots = Int(FreezePlan.overlayFlag) - 1

  private struct Sizes {
    var lookahead: Int
    var cacheRows: Int
    var overlayRows = 0
    var commitRows = 0
    var compactionBlocks = 0
    var validationBytes = 0
  }

  func planner(_ plan: MemoryPlan) -> PlannerConfiguration {
    planner(
      Sizes(
        lookahead: plan.lookahead, cacheRows: plan.cacheRows, overlayRows: plan.overlayRows,
        commitRows: plan.commitRows))
  }

  private func planner(_ sizes: Sizes) -> PlannerConfiguration {
    PlannerConfiguration(
      lookahead: sizes.lookahead, policy: policy, cacheRows: sizes.cacheRows, overlayRows: sizes.overlayRows,
      commitRows: sizes.commitRows, commitInterval: commitInterval,
      boundaryInterval: validation?.interval, maximumUniqueRows: unique,
      rowsPerBlock: rowLayout.rowsPerBlock, trains: trains,
      trustsFirstTouchBefore: trustsFirstTouchBefore)
  }

  private func split(_ sizes: Sizes) -> [MemoryPlan.Part] {
    let items = sizes.lookahead + PrefetchPipeline.spareItems
    var parts = [
      MemoryPlan.Part(name: "row cache", bytes: sizes.cacheRows * rowLayout.rowBytes),
      MemoryPlan.Part(name: "overlay", bytes: sizes.overlayRows * rowLayout.rowBytes),
      MemoryPlan.Part(name: "planner", bytes: planner(sizes).memoryBytes),
      MemoryPlan.Part(name: "batches in flight", bytes: items * WorkItem.bytes(layout: batchLayout)),
      MemoryPlan.Part(
        name: "reading",
        bytes: readerBytes + MemoryCosts.openStoreBytes
          + (trains ? MemoryCosts.fetcherBytes(rows: unique) : MemoryCosts.readerBytes(rows: unique))),
      MemoryPlan.Part(name: "dense model", bytes: denseBytes),
      MemoryPlan.Part(name: "activations", bytes: activationBytes),
    ]
    if trains {
      parts += [
        MemoryPlan.Part(
          name: "frozen rows of a commit",
          bytes: CommitWriter.bytes(
            commitRows: sizes.commitRows, rowBytes: rowLayout.rowBytes, denseRecordBytes: denseRecordBytes)),
        MemoryPlan.Part(
          name: "pages of a transaction",
          bytes: MemoryCosts.commitBytes(
            rows: sizes.commitRows, layout: rowLayout, denseBytes: denseRecordBytes)
            + MemoryCosts.compactionBytes(blocks: sizes.compactionBlocks, layout: rowLayout)
            + Compaction.memoryBytes(commits: Self.mostCompactedCommits, layout: rowLayout)),
      ]
    }
    if validation != nil {
      parts.append(
        MemoryPlan.Part(
          name: "validation",
          bytes: sizes.validationBytes
            + MemoryCosts.snapshotBytes(rows: sizes.commitRows, layout: rowLayout)))
    }
    return parts
  }

  private func total(_ sizes: Sizes) -> Int { split(sizes).reduce(0) { $0 + $1.bytes } }

  /// The smallest sizes that work with this lookahead.
  private func least(lookahead: Int) -> Sizes {
    var sizes = Sizes(lookahead: lookahead, cacheRows: largestUnion(lookahead))
    if trains {
      sizes.overlayRows = PlannerConfiguration.leastOverlayRows(
        lookahead: lookahead, maximumUniqueRows: unique)
      sizes.commitRows = unique
      sizes.compactionBlocks = Self.leastCompactionBlocks
      sizes.validationBytes = validation?.bytes.lowerBound ?? 0
    }
    return sizes
  }

  /// The least budget that works: one batch at a time.
  var minimum: Int { minimum(lookahead: 1) }

  /// The least budget that holds so many batches ahead.
  func minimum(lookahead: Int) -> Int { total(least(lookahead: lookahead)) }

  /// A budget between the least for a lookahead (`share` 0) and one with room for every row beside it (1).
  func budget(lookahead: Int, share: Double) -> Int {
    var sizes = least(lookahead: lookahead)
    let least = total(sizes)
    sizes.cacheRows = allRows
    return least + Int(Double(total(sizes) - least) * share)
  }

  /// A budget whose plan keeps so many rows in the cache, or all that a cache can have; as small as bisection finds it.
  func budget(keeping rows: Int, wantedLookahead: Int) throws -> Int {
    let wanted = min(rows, allRows, Self.mostSlots)
    func keeps(_ budget: Int) throws -> Bool {
      try plan(budget: budget, wantedLookahead: wantedLookahead).cacheRows >= wanted
    }
    var low = minimum
    if try keeps(low) { return low }
    var high = 2 * low
    while try !keeps(high) { (low, high) = (high, 2 * high) }
    while high - low > 1 {
      let middle = (low + high) / 2
      if try keeps(middle) { high = middle } else { low = middle }
    }
    return high
  }

  /// Spends `budget` with the largest lookahead up to the wanted one that leaves room for the rest.
  ///
  /// - Throws: `.budget` if it is below `minimum`.
  func plan(budget: Int, wantedLookahead: Int) throws -> MemoryPlan {
    try plan(budget: budget, lookahead: lookahead(wanted: wantedLookahead, budget: budget))
  }

  /// Spends `budget` with this lookahead: a share each of what it leaves for commits, overlay and compaction, and all the
  /// rest for the cache.
  ///
  /// - Throws: `.budget` if it is below `minimum(lookahead:)`.
  func plan(budget: Int, lookahead: Int) throws -> MemoryPlan {
    var sizes = least(lookahead: lookahead)
    let needed = total(sizes)
    guard needed <= budget else {
      throw ChanterError(
        .budget,
        "a memory budget of \(ByteSize.format(budget)) is too small: this dataset and configuration need at least"
          + " \(ByteSize.ceilingMebibytes(needed)); give --memory \(ByteSize.ceilingMebibytes(needed)) or more"
      )
    }
    if trains {
      let spare = budget - needed
      // Every commit writes the dense record too, so short intervals cost more than a smaller cache. The longer rows wait in
      // the overlay, the more of them share a block that a compaction writes. Neither a commit nor the overlay ever holds more
      // rows than there are.
      grow(
        \.commitRows, of: &sizes, by: spare / 4,
        most: min(
          commitInterval * unique, allRows,
          MemoryCosts.mostCommitRows(layout: rowLayout, denseBytes: denseRecordBytes)))
      grow(\.overlayRows, of: &sizes, by: spare * 3 / 8, most: min(allRows, Self.mostSlots))
      grow(\.compactionBlocks, of: &sizes, by: spare / 16, most: Self.mostCompactionBlocks)
      // Training stands still while a validation runs, and the other way round: neither can lend the other its memory.
      if let validation {
        grow(\.validationBytes, of: &sizes, by: spare / 8, most: validation.bytes.upperBound)
      }
    }
    grow(\.cacheRows, of: &sizes, by: budget - total(sizes), most: min(allRows, Self.mostSlots))
    return MemoryPlan(
      budget: budget, lookahead: sizes.lookahead, cacheRows: sizes.cacheRows, overlayRows: sizes.overlayRows,
      commitRows: sizes.commitRows, compactionBlocks: sizes.compactionBlocks,
      validationBytes: sizes.validationBytes, split: split(sizes))
  }

  /// The largest lookahead up to `wanted` whose least sizes take at most an eighth of what the budget has above the minimum;
  /// the rest is for longer commits, a larger overlay and a larger cache: rows kept save more than batches planned far ahead, of
  /// which a few hide what the disk takes.
  private func lookahead(wanted: Int, budget: Int) -> Int {
    let limit = minimum + max(0, budget - minimum) / 8
    var low = 1
    var high = wanted
    while low < high {
      let middle = (low + high + 1) / 2
      if total(least(lookahead: middle)) <= limit { low = middle } else { high = middle - 1 }
    }
    return low
  }

  /// Raises one size as far as `bytes` more allow, by bisection: tables with power-of-two sizes make the cost uneven.
  private func grow(_ size: WritableKeyPath<Sizes, Int>, of sizes: inout Sizes, by bytes: Int, most: Int) {
    let limit = total(sizes) + bytes
    var low = sizes[keyPath: size]
    var high = max(low, most)
    while low < high {
      let middle = (low + high + 1) / 2
      var candidate = sizes
      candidate[keyPath: size] = middle
      if total(candidate) <= limit { low = middle } else { high = middle - 1 }
    }
    sizes[keyPath: size] = low
  }
}
