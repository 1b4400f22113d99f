import BatchStore
import Primitives

/// What work on spilled values needs to know, and the file that it writes to.
///
/// Unchecked `Sendable`: everything but `statistics`, which a monitor guards, is fixed.
final class SpillWork: @unchecked Sendable {
  let file: StreamFile
  /// Samples that are trained on: the first so many.
  let training: UInt64
  let minimumCount: Int
  /// Memory for the values of one partition.
  let valueBytes: Int
  /// Partitions are split down to here whatever they hold; tests reach depths with it that take billions of values.
  let leastDepth: Int

  init(_ file: StreamFile, training: Int, minimumCount: Int, valueBytes: Int, leastDepth: Int = 0) {
    self.file = file
    self.training = UInt64(training)
    self.minimumCount = minimumCount
    self.valueBytes = valueBytes
    self.leastDepth = leastDepth
  }
}
