import BatchStore
import Primitives

/// The values of one table that did not fit in memory: those that appeared first after the counters were full.
///
/// Every use of such a value is a record in one of 16 partitions, by its hash, and the partition of each use is noted. Each
/// partition is counted alone (`SpilledPartition`), the values of all come out sorted as rows are numbered, and the rows go
/// back to the uses. Partitions of one table and of several may be worked on side by side.
final class SpilledTable {
  /// Where the uses lie: one stream for each partition and one for the route.
  static let streams = SpilledPartition.fanOut + 1
  /// The most memory of one while uses are added.
  static let writingBytes = streams * StreamWriter.bytes

  let partitions: [SpilledPartition]
  /// The partition of each use.
  private let route: StreamWriter
  /// By partition: the sample of its last use.
  private var last: [UInt64]
  private(set) var useCount: Int

  /// - Parameters:
  ///   - file: gets the streams from `SpilledTable.streams * table` on.
  ///   - state: of a table whose streams are in the file already; nil for an empty one.
  init(_ file: StreamFile, table: Int, continuing state: State? = nil, streams: [ByteStream]? = nil) {
    let base = Self.streams * table
    func writer(_ number: Int) -> StreamWriter {
      StreamWriter(file, number: base + number, continuing: streams?[base + number])
    }
    partitions = (0..<SpilledPartition.fanOut).map { SpilledPartition(writer($0)) }
    route = writer(SpilledPartition.fanOut)
    last = state?.last ?? [UInt64](repeating: 0, count: SpilledPartition.fanOut)
    useCount = state?.useCount ?? 0
  }

  /// What is not in the file, between two uses.
  struct State: Codable, Equatable {
    var last: [UInt64]
    var useCount: Int
  }

  /// Puts all uses into the file.
  func save() throws -> State {
    for partition in partitions { try partition.uses.flush() }
    try route.flush()
    return State(last: last, useCount: useCount)
  }

  /// Adds a use.
  /// - Parameters:
  ///   - sample: number of the sample; uses come in the order of samples.
  ///   - entry: which of the sample's entries of this table it is.
  func add(_ value: UnsafeRawBufferPointer, hash: UInt64, sample: Int, entry: Int) throws {
    let partition = SpilledPartition.child(of: hash, depth: 0)
    try partitions[partition].uses.append(UInt64(sample) - last[partition], UInt64(entry), value)
    last[partition] = UInt64(sample)
    try route.append(byte: UInt8(truncatingIfNeeded: partition))
    useCount += 1
  }

  /// Ends adding.
  func finish() throws {
    for partition in partitions { try partition.uses.finish() }
    try route.finish()
  }

  /// Writes the row of every use, in the order of uses, once each partition is resolved.
  /// - Parameter number: of the stream in `file`.
  func resolve(_ file: StreamFile, number: Int) throws {
    let writer = StreamWriter(file, number: number)
    try SpilledPartition.weave(
      useCount, route: route.stream, partitions.map { try $0.resolvedRows() }, writer)
  }
}
