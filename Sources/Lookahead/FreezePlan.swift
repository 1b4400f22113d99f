public import Primitives

/// Where every row lies that a commit has to hold, at the one moment when the commit copies them: after the step
/// `executedStep` was carried out and before the next one is.
///
/// Unchecked `Sendable`: filled by the planner, then handed to the trainer and the writer through channels.
public final class FreezePlan: @unchecked Sendable {
  /// Set in a place: an overlay slot, not a cache slot.
  public static let overlayFlag: UInt32 = 1 << 31

  /// The commit holds the model after this batch.
  public internal(set) var step = 0
  public internal(set) var executedStep = 0
  public internal(set) var compacts = false
  public internal(set) var count = 0
  public let keys: AlignedBuffer<RowKey>
  /// Slot of each row, with `overlayFlag` if it is one of the overlay.
  public let places: AlignedBuffer<UInt32>

  public init(commitRows: Int) {
    keys = AlignedBuffer(count: commitRows)
    places = AlignedBuffer(count: commitRows)
  }

  public static func bytes(commitRows: Int) -> Int { commitRows * 12 }
}
