import BatchStore
import Primitives

/// The values that did not fit in memory: those that appeared first after the counters were full.
///
/// Every use of such a value is a record (sample, table, bytes) in one of 256 partitions, by the hash of table and
/// value. Each partition is then counted alone; its values come out sorted as rows are numbered, and one merge of all
/// partitions with the counters gives the rows. Rows go back to the uses by partition, and from there into the samples.
final class SpilledValues {
  static let partitionCount = 256

  private let directory: String
  /// What counting one partition may take.
  private let memory: Int
  /// The files are let go, and their space with them, as soon as they have been read.
  private var uses: PartitionedFile
  /// Samples in order (a), table and number in the partition (b).
  private var numbered: PartitionedFile
  /// Distinct values by order (a: table, class, count; b: first sample), number in the partition (c), bytes.
  private var sorted: PartitionedFile
  /// Number in the partition (a), row (b).
  private var assigned: PartitionedFile
  /// Samples in order (a), table and row (b).
  private(set) var resolved: PartitionedFile
  private var distinct = [Int](repeating: 0, count: partitionCount)
  /// Values by table that get rows.
  private(set) var kept: [Int]
  private let decoder: PartitionDecoder

  /// - Parameters:
  ///   - directory: where the temporary files lie.
  ///   - memory: bytes for the values of one partition.
  init(directory: String, tableCount: Int, memory: Int) throws {
    kept = [Int](repeating: 0, count: tableCount)
    self.directory = directory
    self.memory = memory
    func file() throws -> PartitionedFile {
      try PartitionedFile(directory: directory, partitions: Self.partitionCount)
    }
    uses = try file()
    numbered = try file()
    sorted = try file()
    assigned = try file()
    resolved = try file()
    decoder = try PartitionDecoder()
  }

  private func none() throws -> PartitionedFile { try PartitionedFile(directory: directory, partitions: 0) }

  /// Takes the values of a block whose row is 0. Sample by sample, so that every partition is in the order of samples.
  /// - Parameter firstSample: number of the first sample of the block.
  func add(_ block: TextBlock, firstSample: Int) throws {
    let capacity = block.samples.capacity
    let rows = block.samples.rows.base
    for sample in 0..<block.samples.sampleCount {
      for table in 0..<block.layout.tableCount {
        let place = table * capacity + sample
        if rows[place] != Vocabulary.unseenRow { continue }
        let value = UnsafeRawBufferPointer(
          start: block.text.base + Int(block.starts.base[place]), count: Int(block.lengths.base[place]))
        // Not the bits that the tables of a partition use.
        let mixed = (block.hashes.base[place] ^ UInt64(table)) &* 0x9E37_79B9_7F4A_7C15
        try uses.append(
          PartitionRecord(a: UInt64(firstSample + sample), b: UInt64(table)), value, to: Int(mixed >> 56))
      }
    }
  }

  /// Counts each partition's values over the first `training` samples and sorts them.
  /// - Parameter progress: called with the partitions done.
  func count(training: Int, minimumCount: Int, _ progress: (Int) throws -> Void) throws {
    try uses.finish()
    for partition in 0..<Self.partitionCount {
      try count(partition, training: training, minimumCount: minimumCount)
      try numbered.finish(partition)
      try sorted.finish(partition)
      try progress(partition + 1)
    }
    uses = try none()
  }

  private func count(_ partition: Int, training: Int, minimumCount: Int) throws {
    let values = PartitionValues()
    let reader = PartitionReader(uses, partition, decoder)
    while try reader.next() {
      let (sample, table) = (reader.record.a, reader.record.b)
      let number = values.add(
        table: table, reader.bytes, sample: sample, isCounted: sample < UInt64(training))
      try numbered.append(PartitionRecord(a: sample, b: table << 32 | UInt64(number)), to: partition)
      guard values.bytes <= memory else {
        throw ChanterError(
          .budget,
          "the values need more memory than --memory leaves: a part of them takes over \(ByteSize.format(memory)); give twice as much"
        )
      }
    }
    distinct[partition] = values.count
    for number in values.order(minimumCount: minimumCount) {
      let key = values.key(number)
      kept[Int(key.a >> 33)] += 1
      try sorted.append(key, values.value(number), to: partition)
    }
  }

  /// Values with rows in the order of rows, table by table.
  func merge() throws -> SpilledMerge {
    try SpilledMerge((0..<Self.partitionCount).map { PartitionReader(sorted, $0, decoder) })
  }

  /// Notes the row of a value that the merge gave.
  func assign(partition: Int, number: UInt64, row: UInt32) throws {
    try assigned.append(PartitionRecord(a: number, b: UInt64(row)), to: partition)
  }

  /// Gives every use its row, once all are assigned.
  /// - Parameter progress: called with the partitions done.
  func resolve(_ progress: (Int) throws -> Void) throws {
    try assigned.finish()
    for partition in 0..<Self.partitionCount {
      var rows = [UInt32](repeating: Vocabulary.unseenRow, count: distinct[partition])
      let pairs = PartitionReader(assigned, partition, decoder)
      while try pairs.next() { rows[Int(pairs.record.a)] = UInt32(pairs.record.b) }
      let places = PartitionReader(numbered, partition, decoder)
      while try places.next() {
        let place = places.record.b
        let row = rows[Int(place & 0xFFFF_FFFF)]
        // A value without a row keeps the 0 that its sample has.
        if row == Vocabulary.unseenRow { continue }
        try resolved.append(
          PartitionRecord(a: places.record.a, b: place & ~0xFFFF_FFFF | UInt64(row)), to: partition)
      }
      try resolved.finish(partition)
      try progress(partition + 1)
    }
    numbered = try none()
    sorted = try none()
    assigned = try none()
  }

  /// Readers of the resolved uses, which all are in the order of samples.
  func readers() -> [PartitionReader] {
    (0..<Self.partitionCount).map { PartitionReader(resolved, $0, decoder) }
  }

  /// Memory beside that of `memory`: buffers of the streams that are written or read at once.
  static let fixedBytes =
    PartitionedFile.writingBytes(partitions: partitionCount) + partitionCount * PartitionReader.bytes
}

/// Distinct values of one partition, with their counts and first samples.
private final class PartitionValues {
  private let values = ValueTable()
  private let key = AlignedBuffer<UInt8>(count: 2 + VocabularyFile.maximumValueBytes)
  private var counts: [UInt32] = []
  private var first: [UInt64] = []

  var count: Int { values.count }
  /// What all of it may take, arrays while they grow included.
  var bytes: Int { values.bytes(adding: 1, valueBytes: 64) + 36 * counts.count }

  func add(table: UInt64, _ value: UnsafeRawBufferPointer, sample: UInt64, isCounted: Bool) -> Int {
    // The table is part of the key: equal values of two tables are two.
    let bytes = UnsafeMutableRawPointer(key.base)
    bytes.storeBytes(of: UInt16(truncatingIfNeeded: table), as: UInt16.self)
    if let source = value.baseAddress { (bytes + 2).copyMemory(from: source, byteCount: value.count) }
    let number = values.intern(UnsafeRawBufferPointer(start: bytes, count: 2 + value.count))
    if number == counts.count {
      counts.append(0)
      first.append(sample)
    }
    if isCounted, counts[number] < .max { counts[number] += 1 }
    return number
  }

  /// Where a value stands among all: by table, frequent ones first and those by count, then by first sample.
  func key(_ number: UInt32) -> PartitionRecord {
    let table = UInt64(values.value(Int(number)).loadUnaligned(as: UInt16.self))
    let count = counts[Int(number)]
    let order = count >= ValueCounter.frequentCount ? UInt64(~count) : 1 << 32
    return PartitionRecord(a: table << 33 | order, b: first[Int(number)], c: UInt64(number))
  }

  func order(minimumCount: Int) -> [UInt32] {
    (0..<UInt32(count)).filter { Int(counts[Int($0)]) >= minimumCount }.sorted {
      let (left, right) = (key($0), key($1))
      return left.a != right.a ? left.a < right.a : left.b < right.b
    }
  }

  func value(_ number: UInt32) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: values.value(Int(number)).dropFirst(2))
  }
}
