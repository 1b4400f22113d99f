import BatchStore
import Primitives

/// Some spilled values of one table: those whose hashes agree in a few bits.
///
/// A partition with more distinct values than memory allows is split into 16 by the next bits, as often as it takes; so the
/// number of values is bounded by the disk alone. Values are compared byte by byte, so equal hashes never make two values one.
final class SpilledPartition {
  static let fanOut = 16
  /// Four bits a level from the top; the 16 lowest are left to the tables of a partition.
  private static let deepest = 12
  /// A place in the log is a sample and, in these lowest bits, an entry of the table in that sample; a batch has fewer entries.
  static let entryBits: UInt64 = 26

  let uses: StreamWriter
  private let depth: Int
  private var useCount = 0
  /// Its distinct values in the order in which rows are numbered; set by `count`.
  private(set) var sorted: ByteStream?
  /// How many values `sorted` has, by uses.
  private(set) var frequency = Frequency()
  private(set) var statistics = ThresholdCounts()
  /// Rows of the values in `sorted`, for whoever numbers them.
  private var rows: StreamWriter?
  // A leaf:
  /// Of each use, and of each value in `sorted`: the number of the value in order of first appearance.
  private var numbers: ByteStream?
  private var sortedNumbers: ByteStream?
  private var distinct = 0
  // A partition that was split:
  private var children: [SpilledPartition] = []
  /// Of each use, and of each value in `sorted`: the child.
  private var route: ByteStream?
  private var sortedRoute: ByteStream?
  private var resolved: ByteStream?

  init(_ uses: StreamWriter, depth: Int = 0) {
    self.uses = uses
    self.depth = depth
  }

  static func child(of hash: UInt64, depth: Int) -> Int { Int((hash >> UInt64(60 - 4 * depth)) & 15) }

  /// Counts the values and sorts them.
  func count(_ work: SpillWork) throws {
    if depth == Self.deepest || work.leastDepth <= depth {
      if try countAlone(work) { return }
      guard depth < Self.deepest else {
        throw ChanterError(
          .budget, "too many values have nearly equal fingerprints for --memory; give twice as much")
      }
    }
    try split(work)
    for child in children { try child.count(work) }
    try mergeChildren(work)
  }

  /// - Returns: whether memory was enough.
  private func countAlone(_ work: SpillWork) throws -> Bool {
    let values = PartitionValues()
    let numbers = StreamWriter(work.file)
    let reader = StreamReader(uses.stream)
    var sample: UInt64 = 0
    var uses = 0
    while try reader.next() {
      sample += reader.first
      let number = values.add(
        reader.bytes, at: sample << Self.entryBits | reader.second, isTraining: sample < work.training)
      try numbers.append(UInt32(number))
      uses += 1
      guard values.bytes <= work.valueBytes else { return false }
    }
    try numbers.finish()
    self.numbers = numbers.stream
    useCount = uses
    distinct = values.count
    let sorted = StreamWriter(work.file)
    let sortedNumbers = StreamWriter(work.file)
    for number in values.order(minimumCount: work.minimumCount) {
      try SortedValue.append(
        values.value(number), count: values.trainingCount(number), first: values.first(number), to: sorted)
      try sortedNumbers.append(number)
      frequency.add(values.trainingCount(number))
    }
    try sorted.finish()
    try sortedNumbers.finish()
    self.sorted = sorted.stream
    self.sortedNumbers = sortedNumbers.stream
    statistics = values.statistics
    return true
  }

  /// Deals the uses out to 16 partitions of their own.
  private func split(_ work: SpillWork) throws {
    children = (0..<Self.fanOut).map { _ in SpilledPartition(StreamWriter(work.file), depth: depth + 1) }
    let route = StreamWriter(work.file)
    let reader = StreamReader(uses.stream)
    var sample: UInt64 = 0
    var last = [UInt64](repeating: 0, count: Self.fanOut)
    while try reader.next() {
      sample += reader.first
      let child = Self.child(of: Fingerprint.short(reader.bytes), depth: depth + 1)
      try children[child].uses.append(sample - last[child], reader.second, reader.bytes)
      last[child] = sample
      try route.append(byte: UInt8(truncatingIfNeeded: child))
      useCount += 1
    }
    for child in children { try child.uses.finish() }
    try route.finish()
    self.route = route.stream
  }

  /// Makes one sorted stream of the children's.
  private func mergeChildren(_ work: SpillWork) throws {
    let sorted = StreamWriter(work.file)
    let route = StreamWriter(work.file)
    var merge = try SortedMerge(children)
    while let child = merge.partition {
      try merge.value.append(to: sorted)
      try route.append(byte: UInt8(truncatingIfNeeded: child))
      try merge.advance()
    }
    for child in children {
      frequency.add(child.frequency)
      statistics.add(child.statistics)
    }
    try sorted.finish()
    try route.finish()
    self.sorted = sorted.stream
    sortedRoute = route.stream
  }

  /// Takes the row of the next value of `sorted`; 0 for one that gets none.
  func assign(_ row: UInt32, _ file: StreamFile) throws {
    let rows = self.rows ?? StreamWriter(file)
    self.rows = rows
    try rows.append(row)
  }

  /// Gives every use its row, once each value of `sorted` has one.
  func resolve(_ file: StreamFile) throws {
    try rows?.finish()
    let given = StreamReader(rows?.stream ?? StreamWriter(file).stream)
    if let route, let sortedRoute {
      let reader = StreamReader(sortedRoute)
      for _ in 0..<frequency.values {
        try children[Int(try reader.nextByte())].assign(given.nextInteger(), file)
      }
      for child in children { try child.resolve(file) }
      let target = StreamWriter(file)
      try Self.weave(useCount, route: route, children.map { try $0.resolvedRows() }, target)
      resolved = target.stream
      children = []
    } else if let numbers, let sortedNumbers {
      var rows = [UInt32](repeating: Vocabulary.unseenRow, count: distinct)
      let reader = StreamReader(sortedNumbers)
      for _ in 0..<frequency.values { rows[Int(try reader.nextInteger())] = try given.nextInteger() }
      let uses = StreamReader(numbers)
      let target = StreamWriter(file)
      for _ in 0..<useCount { try target.append(rows[Int(try uses.nextInteger())]) }
      try target.finish()
      resolved = target.stream
    }
    rows = nil
  }

  func resolvedRows() throws -> StreamReader {
    guard let resolved else { throw ChanterError(.broken, "a partition is used before it is resolved") }
    return StreamReader(resolved)
  }

  /// Writes the streams of partitions as one, by the route of its elements.
  static func weave(
    _ count: Int, route: ByteStream, _ parts: [StreamReader], _ target: StreamWriter
  ) throws {
    let reader = StreamReader(route)
    for _ in 0..<count {
      let part = Int(try reader.nextByte())
      guard part < parts.count else { throw ChanterError(.broken, "a route leads nowhere") }
      try target.append(parts[part].nextInteger())
    }
    try target.finish()
  }
}
