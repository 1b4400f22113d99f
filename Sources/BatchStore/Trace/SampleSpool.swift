public import Primitives

/// Samples in a temporary file: written once in order, read back in any order and from several threads.
///
/// Chunks of the same number of samples, in byte planes and lz4, with notes between them: what else a run has to know to go on
/// after it was killed. Every record has a header with a checksum. Memory does not grow with them.
public final class SampleSpool {
  private final class Packer {
    let raw = GrowableBuffer<UInt8>()
    let packed = GrowableBuffer<UInt8>()
    var failure: (any Error)?
  }

  /// Memory by entry of a bag of a chunk that is packed or read: 4 bytes each as it is, raw and packed, and old and new memory
  /// while these grow.
  public static let bytesByBagEntry = 36

  let file: File
  public let shape: SampleShape
  /// Samples of every chunk but the last.
  public let chunkSamples: Int
  /// Where each chunk begins.
  private let starts: OffsetFile
  private(set) var chunkCount = 0
  private var packers: [Packer] = []
  private(set) var end = 0
  /// Samples so far.
  public private(set) var sampleCount = 0

  /// - Parameter directory: where further temporary files lie.
  init(file: File, in directory: String, shape: SampleShape, chunkSamples: Int) throws {
    starts = try OffsetFile(temporaryIn: directory)
    self.file = file
    self.shape = shape
    self.chunkSamples = chunkSamples
  }

  /// A file without a name.
  /// - Parameter directory: where it lies.
  public convenience init(temporaryIn directory: String, shape: SampleShape, chunkSamples: Int) throws {
    try self.init(
      file: try File(temporaryIn: directory), in: directory, shape: shape, chunkSamples: chunkSamples)
  }

  /// A file of this name in a directory, which is emptied.
  public convenience init(
    _ path: String, in directory: String, shape: SampleShape, chunkSamples: Int
  ) throws {
    let file = try File(updating: path)
    try file.truncate(to: 0)
    try self.init(file: file, in: directory, shape: shape, chunkSamples: chunkSamples)
  }

  /// Appends chunks; each but the very last of the spool is full.
  public func append(_ chunks: ArraySlice<SampleBatch>, _ pool: WorkerPool) throws {
    while packers.count < chunks.count { packers.append(Packer()) }
    pool.run(chunks.count) { task, _ in
      let packer = packers[task]
      packer.failure = nil
      do {
        let chunk = chunks[chunks.startIndex + task]
        try Self.pack(chunk, .chunk, number: chunk.sampleCount, packer.raw, into: packer.packed)
      } catch {
        packer.failure = error
      }
    }
    for (packer, chunk) in zip(packers, chunks) {
      if let failure = packer.failure { throw failure }
      try append(packer.packed.bytes, samples: chunk.sampleCount)
    }
  }

  private func append(_ record: UnsafeRawBufferPointer, samples: Int) throws {
    guard sampleCount == chunkCount * chunkSamples, samples <= chunkSamples else {
      throw ChanterError(.broken, "samples follow the last, partial chunk of their temporary file")
    }
    try file.write(record, at: end)
    try count(record.count, samples: samples)
  }

  /// Counts in a chunk that lies at the end.
  func count(_ bytes: Int, samples: Int) throws {
    try starts.set(chunkCount, to: end)
    chunkCount += 1
    end += bytes
    sampleCount += samples
  }

  /// Appends the samples of the chunk that is being filled, so that `recover` can give them back.
  public func note(_ samples: SampleBatch) throws {
    let packer = packers.first ?? Packer()
    try Self.pack(samples, .rest, number: samples.sampleCount, packer.raw, into: packer.packed)
    try append(note: packer.packed.bytes)
  }

  /// Appends the values with these numbers.
  public func note(_ values: ValueTable, _ range: Range<Int>, table: Int) throws {
    let raw = GrowableBuffer<UInt8>()
    let packed = GrowableBuffer<UInt8>()
    var next = range.lowerBound
    while next < range.upperBound {
      raw.removeAll()
      while next < range.upperBound, raw.count < 1 << 20 {
        let value = values.value(next)
        raw.append(integer: UInt16(value.count))
        raw.append(bytes: value)
        next += 1
      }
      try RecordHeader.pack(raw.bytes, .values, number: table, into: packed)
      try append(note: packed.bytes)
    }
  }

  /// Appends a mark: up to here, a run can go on with what it says.
  public func mark(_ text: [UInt8]) throws {
    let packed = GrowableBuffer<UInt8>()
    try text.withUnsafeBytes { try RecordHeader.pack($0, .mark, number: 0, into: packed) }
    try append(note: packed.bytes)
  }

  private func append(note: UnsafeRawBufferPointer) throws {
    try file.write(note, at: end)
    skip(note.count)
  }

  /// Counts in a note that lies at the end.
  func skip(_ bytes: Int) { end += bytes }

  private static func pack(
    _ samples: SampleBatch, _ kind: RecordHeader.Kind, number: Int, _ raw: GrowableBuffer<UInt8>,
    into packed: GrowableBuffer<UInt8>
  ) throws {
    raw.removeAll()
    encode(samples, into: raw)
    try RecordHeader.pack(raw.bytes, kind, number: number, into: packed)
  }

  /// Puts a record into `raw` without its packing; the header says what it is.
  func load(
    at offset: Int, _ packed: GrowableBuffer<UInt8>, into raw: GrowableBuffer<UInt8>
  ) throws -> RecordHeader {
    try RecordHeader.load(file, at: offset, packed, into: raw)
  }

  func offset(of chunk: Int) throws -> Int { try starts.offset(of: chunk) }

  /// Labels as bytes, weights and times if there are any, four planes of each dense column, then by feature: of a bag the planes of
  /// its lengths, and the planes of its rows.
  private static func encode(_ samples: SampleBatch, into raw: GrowableBuffer<UInt8>) {
    let count = samples.sampleCount
    let labels = samples.labels.base
    let bytes = raw.extend(by: count)
    for sample in 0..<count { bytes[sample] = labels[sample] == 0 ? 0 : 1 }
    if samples.shape.hasWeights {
      BytePlanes.append(samples.weights.base, rows: count, columns: 1, to: raw)
    }
    if samples.shape.hasTimes {
      raw.append(bytes: UnsafeRawBufferPointer(start: samples.times.base, count: 8 * count))
    }
    BytePlanes.append(samples.dense.base, rows: count, columns: samples.denseCount, to: raw)
    var bags = samples.bags.makeIterator()
    for (number, feature) in samples.shape.features.enumerated() {
      if feature.isBag, let bag = bags.next() {
        // Lengths would be smaller, but offsets need no scratch memory, and lz4 follows.
        raw.append(integer: UInt32(bag.entryCount(of: count)))
        BytePlanes.append(bag.offsets.base + 1, count: count, minus: 0, planes: 4, to: raw)
        append(bag.rows, bag.entryCount(of: count), to: raw)
      } else {
        append(samples.rows.base + number * samples.capacity, count, to: raw)
      }
    }
  }

  private static func append(
    _ rows: UnsafePointer<UInt32>, _ count: Int, to raw: GrowableBuffer<UInt8>
  ) {
    var largest: UInt32 = 0
    for entry in 0..<count { largest = max(largest, rows[entry]) }
    let planes = FrameShape.planes(for: largest)
    raw.append(UInt8(planes))
    BytePlanes.append(rows, count: count, minus: 0, planes: planes, to: raw)
  }
}

/// Reads samples of a spool; one for each thread.
public final class SampleSpoolReader {
  private let spool: SampleSpool
  let packed = GrowableBuffer<UInt8>()
  let raw = GrowableBuffer<UInt8>()
  private let chunk: SampleBatch
  private var loaded = -1

  public init(_ spool: SampleSpool) throws {
    self.spool = spool
    chunk = SampleBatch(shape: spool.shape, capacity: spool.chunkSamples)
  }

  /// Fills `target` with the samples `range`, which must all be there and fit.
  public func read(_ range: Range<Int>, into target: SampleBatch) throws {
    precondition(range.upperBound <= spool.sampleCount && range.count <= target.capacity)
    target.sampleCount = 0
    var next = range.lowerBound
    while next < range.upperBound {
      let number = next / spool.chunkSamples
      let start = number * spool.chunkSamples
      if start == next, range.upperBound - next >= spool.chunkSamples,
        target.capacity == spool.chunkSamples
      {
        try decode(number, into: target)
        return
      }
      if loaded != number {
        loaded = -1
        try decode(number, into: chunk)
        loaded = number
      }
      let end = min(range.upperBound, start + chunk.sampleCount)
      target.append(chunk, next - start..<end - start)
      next = end
    }
  }

  private func decode(_ number: Int, into target: SampleBatch) throws {
    let header = try spool.load(at: try spool.offset(of: number), packed, into: raw)
    guard header.kind == .chunk else { throw RecordHeader.damaged(spool.file) }
    try decode(raw.bytes, samples: header.number, into: target)
  }

  /// Reads what `SampleSpool.encode` wrote.
  func decode(_ bytes: UnsafeRawBufferPointer, samples count: Int, into target: SampleBatch) throws {
    guard count <= target.capacity else { throw RecordHeader.damaged(spool.file) }
    var cursor = ByteCursor(bytes, path: spool.file.path, origin: 0)
    let labels = try cursor.take(count).assumingMemoryBound(to: UInt8.self)
    for sample in 0..<count {
      guard labels[sample] <= 1 else { throw Self.damaged(cursor) }
      target.labels.base[sample] = Float(labels[sample])
    }
    if target.shape.hasWeights {
      BytePlanes.read(try cursor.take(4 * count), rows: count, columns: 1, into: target.weights.base)
    }
    if target.shape.hasTimes {
      UnsafeMutableRawPointer(target.times.base).copyMemory(
        from: try cursor.take(8 * count), byteCount: 8 * count)
    }
    BytePlanes.read(
      try cursor.take(4 * count * target.denseCount), rows: count, columns: target.denseCount,
      into: target.dense.base)
    var bags = target.bags.makeIterator()
    for (number, feature) in target.shape.features.enumerated() {
      if feature.isBag, let bag = bags.next() {
        let entries = Int(try cursor.integer(UInt32.self))
        let largest = BytePlanes.read(
          try cursor.take(4 * count), planes: 4, count: count, plus: 0, into: bag.offsets.base + 1)
        let offsets = UnsafeBufferPointer(start: bag.offsets.base, count: count + 1)
        guard largest == entries, zip(offsets, offsets.dropFirst()).allSatisfy({ $0 <= $1 }) else {
          throw Self.damaged(cursor)
        }
        try Self.read(&cursor, entries, into: bag.resize(to: entries))
      } else {
        try Self.read(&cursor, count, into: target.rows.base + number * target.capacity)
      }
    }
    target.sampleCount = count
  }

  private static func read(
    _ cursor: inout ByteCursor, _ count: Int, into rows: UnsafeMutablePointer<UInt32>
  ) throws {
    let planes = Int(try cursor.integer(UInt8.self))
    guard planes <= 4 else { throw damaged(cursor) }
    _ = BytePlanes.read(try cursor.take(planes * count), planes: planes, count: count, plus: 0, into: rows)
  }

  private static func damaged(_ cursor: ByteCursor) -> ChanterError {
    cursor.corrupt("the temporary file reads back wrong")
  }
}
