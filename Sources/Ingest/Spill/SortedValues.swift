import BatchStore
import Primitives

/// A distinct value with what its place in the numbering depends on.
struct SortedValue {
  /// Uses in training, up to 2^32 - 1.
  var count: UInt32
  /// Where the value appeared first.
  var first: UInt64
  var bytes: UnsafeRawBufferPointer

  /// Values seen at least 16 times come first, by count; the others in order of appearance.
  static func isBefore(_ left: SortedValue, _ right: SortedValue) -> Bool {
    let (most, other) = (left.rank, right.rank)
    return most != other ? most > other : left.first < right.first
  }

  private var rank: UInt32 { count >= ValueCounter.frequentCount ? count : 0 }

  func append(to stream: StreamWriter) throws {
    try Self.append(bytes, count: count, first: first, to: stream)
  }

  static func append(
    _ bytes: UnsafeRawBufferPointer, count: UInt32, first: UInt64, to stream: StreamWriter
  ) throws {
    try stream.append(UInt64(count), first, bytes)
  }
}

/// Merges the sorted values of partitions of one table.
struct SortedMerge {
  private let readers: [StreamReader]
  /// By partition: its next value, nil after the last.
  private var heads: [SortedValue?] = []
  /// The partition whose value comes next, or nil after the last of all.
  private(set) var partition: Int?

  init(_ partitions: [SpilledPartition]) throws {
    readers = try partitions.map { partition in
      guard let sorted = partition.sorted else {
        throw ChanterError(.broken, "a partition is merged before it is counted")
      }
      return StreamReader(sorted)
    }
    for partition in readers.indices {
      heads.append(nil)
      try read(partition)
    }
    choose()
  }

  /// The value that comes next; its bytes are valid until `advance`.
  var value: SortedValue {
    guard let partition, let head = heads[partition] else {
      preconditionFailure("there is no value after the last")
    }
    return head
  }

  mutating func advance() throws {
    guard let partition else { return }
    try read(partition)
    choose()
  }

  private mutating func read(_ partition: Int) throws {
    let reader = readers[partition]
    heads[partition] =
      try reader.next()
      ? SortedValue(
        count: UInt32(truncatingIfNeeded: reader.first), first: reader.second, bytes: reader.bytes) : nil
  }

  /// Sixteen comparisons in a row cost less than a heap's branches.
  private mutating func choose() {
    var best: Int?
    for (partition, head) in heads.enumerated() {
      guard let head else { continue }
      if let chosen = best, let least = heads[chosen], !SortedValue.isBefore(head, least) { continue }
      best = partition
    }
    partition = best
  }
}
