public import Primitives

/// Samples in a temporary file: written once in order, read back in any order and from several threads.
///
/// Chunks of the same number of samples, in byte planes and lz4. Memory: 24 bytes by chunk.
public final class SampleSpool {
  private struct Entry {
    var offset: Int
    var packedBytes: UInt32
    var rawBytes: UInt32
  }

  private final class Packer {
    let raw = GrowableBuffer<UInt8>()
    let packed = GrowableBuffer<UInt8>()
    var failure: (any Error)?
  }

  fileprivate let file: File
  public let shape: SampleShape
  /// Samples of every chunk but the last.
  public let chunkSamples: Int
  private let entries = GrowableBuffer<Entry>()
  private var packers: [Packer] = []
  private var end = 0
  /// Samples so far.
  public private(set) var sampleCount = 0

  /// - Parameter directory: where the temporary file lies.
  public init(directory: String, shape: SampleShape, chunkSamples: Int) throws {
    file = try File(temporaryIn: directory)
    self.shape = shape
    self.chunkSamples = chunkSamples
  }

  /// Appends chunks; each but the very last of the spool is full.
  public func append(_ chunks: ArraySlice<SampleBatch>, _ pool: WorkerPool) throws {
    while packers.count < chunks.count { packers.append(Packer()) }
    pool.run(chunks.count) { task, _ in
      let packer = packers[task]
      packer.raw.removeAll()
      packer.packed.removeAll()
      Self.encode(chunks[chunks.startIndex + task], into: packer.raw)
      do { _ = try LZ4Frame.compress(packer.raw.bytes, into: packer.packed) } catch {
        packer.failure = error
      }
    }
    for (packer, chunk) in zip(packers, chunks) {
      if let failure = packer.failure { throw failure }
      guard sampleCount == entries.count * chunkSamples, chunk.sampleCount <= chunkSamples else {
        throw ChanterError(.broken, "samples follow the last, partial chunk of their temporary file")
      }
      try file.write(packer.packed.bytes)
      entries.append(
        Entry(
          offset: end, packedBytes: UInt32(packer.packed.count), rawBytes: UInt32(packer.raw.count)))
      end += packer.packed.count
      sampleCount += chunk.sampleCount
    }
  }

  fileprivate func load(_ chunk: Int, _ packed: GrowableBuffer<UInt8>) throws -> (rawBytes: Int, samples: Int)
  {
    let entry = entries.base[chunk]
    packed.removeAll()
    let count = Int(entry.packedBytes)
    try file.read(at: entry.offset, into: packed.extend(by: count), count: count)
    return (Int(entry.rawBytes), min(chunkSamples, sampleCount - chunk * chunkSamples))
  }

  /// Labels as bytes, weights if there are any, four planes of each dense column, then by feature: of a bag the planes of
  /// its lengths, and the planes of its rows.
  private static func encode(_ samples: SampleBatch, into raw: GrowableBuffer<UInt8>) {
    let count = samples.sampleCount
    let labels = samples.labels.base
    let bytes = raw.extend(by: count)
    for sample in 0..<count { bytes[sample] = labels[sample] == 0 ? 0 : 1 }
    if samples.shape.hasWeights {
      BytePlanes.append(samples.weights.base, rows: count, columns: 1, to: raw)
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
  private let lz4: LZ4Decoder
  private let packed = GrowableBuffer<UInt8>()
  private let raw = GrowableBuffer<UInt8>()
  private let chunk: SampleBatch
  private var loaded = -1

  public init(_ spool: SampleSpool) throws {
    self.spool = spool
    lz4 = try LZ4Decoder()
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
    let (rawBytes, count) = try spool.load(number, packed)
    raw.removeAll()
    let bytes = raw.extend(by: rawBytes)
    if let problem = lz4.decode(
      packed.bytes, into: UnsafeMutableRawBufferPointer(start: bytes, count: rawBytes))
    {
      throw ChanterError(
        .corrupt, "the temporary file reads back wrong (\(problem))", path: spool.file.path)
    }
    var cursor = ByteCursor(raw.bytes, path: spool.file.path, origin: 0)
    let labels = try cursor.take(count).assumingMemoryBound(to: UInt8.self)
    for sample in 0..<count { target.labels.base[sample] = Float(labels[sample]) }
    if target.shape.hasWeights {
      BytePlanes.read(try cursor.take(4 * count), rows: count, columns: 1, into: target.weights.base)
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
        guard largest == entries else { throw Self.damaged(cursor) }
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
