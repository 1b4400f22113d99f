import BatchStore
import Primitives

/// Puts samples in the order of keys with a bounded memory, those of one key as they came.
///
/// What does not fit in memory is cut by the leading bits of the keys into parts on the disk, and these again as often as it
/// takes. So the order depends on nothing but the keys.
final class SampleSorter {
  /// Samples that are waiting to be written to one part.
  private static let chunkSamples = 256
  /// Samples that are read at once where they are cut.
  private static let blockSamples = 4096
  /// Most parts that samples are cut into at once: each has two files that are open.
  private static let mostParts = 128

  private let order: SampleOrder
  private let directory: String
  private let memory: Int
  private let pool: WorkerPool
  private let shape: SampleShape
  private let shuffled: SampleSpool
  private let chunks: [SampleBatch]
  private var fullChunks = 0
  private let progress: (RebatchProgress) throws -> Void
  private let total: Int

  /// - Parameters:
  ///   - chunkSamples: of the result.
  ///   - path: gets the result, which `SampleSpool.recover` finds again once it is whole.
  ///   - directory: where the temporary files lie.
  ///   - memory: for all samples that are in memory at a time, but `leastBytes`.
  init(
    _ order: SampleOrder, samples: Int, shape: SampleShape, chunkSamples: Int, path: String,
    directory: String,
    memory: Int,
    pool: WorkerPool, progress: @escaping (RebatchProgress) throws -> Void
  ) throws {
    self.order = order
    self.directory = directory
    self.memory = memory
    self.pool = pool
    self.shape = shape
    self.progress = progress
    total = samples
    shuffled = try SampleSpool(path, in: directory, shape: shape, chunkSamples: chunkSamples)
    chunks = (0..<pool.threadCount).map { _ in SampleBatch(shape: shape, capacity: chunkSamples) }
  }

  /// Memory beside `memory`: chunks of the result with what packs them, the block that is cut, and a chunk that is read.
  /// - Parameter entries: of the bags of a chunk of the result, at most.
  static func leastBytes(_ shape: SampleShape, chunkSamples: Int, entries: Int, threads: Int) -> Int {
    let chunk = SampleBatch.bytes(shape: shape, capacity: chunkSamples) + 12 * entries
    let block = SampleBatch.bytes(shape: shape, capacity: blockSamples) + 12 * max(entries, 1)
    // As it is, in planes and packed, with room to grow.
    return 5 * threads * chunk + 2 * block + 16 * blockSamples
  }

  /// The samples of `source` in their new order.
  func run(_ source: some SampleSource, entries: Int) throws -> SampleSpool {
    try place(source, samples: total, entries: entries, bits: 0) { first, samples, keys in
      for sample in 0..<samples.sampleCount {
        keys[sample] = self.order.key(of: sample, in: samples, first: first)
      }
    }
    try flush(chunks.prefix { $0.sampleCount > 0 })
    try shuffled.mark(Array("whole".utf8))
    return shuffled
  }

  /// Bytes of so many samples that are in memory: themselves, their keys, and what sorts them.
  private func bytes(samples: Int, entries: Int) -> Int {
    SampleBatch.bytes(shape: shape, capacity: samples) + 12 * entries + 16 * samples
  }

  /// Appends samples to the result in the order of their keys.
  /// - Parameters:
  ///   - bits: how many leading bits of the keys are equal.
  ///   - keys: gives the keys of samples that were read from the source, of which the first has the number that is named.
  private func place(
    _ source: some SampleSource, samples: Int, entries: Int, bits: Int,
    keys: (_ first: Int, _ samples: SampleBatch, _ target: UnsafeMutablePointer<UInt64>) throws -> Void
  ) throws {
    let needed = bytes(samples: samples, entries: entries)
    if bits >= 64 { return try copy(source, samples: samples) }
    if needed <= memory / 2 || samples <= 1 { return try sort(source, samples: samples, keys: keys) }
    let part = bytes(samples: Self.chunkSamples, entries: 0) + 3 * StreamWriter.bytes
    let most = min(Self.mostParts, max(2, memory / 2 / part))
    // A part of average size takes half of what may be loaded at once.
    var digitBits = 1
    while bits + digitBits < 64, 1 << (digitBits + 1) <= most, needed >> digitBits > memory / 4 {
      digitBits += 1
    }
    var parts = try cut(source, samples: samples, bits: bits, digitBits: digitBits, keys: keys)
    for number in parts.indices {
      guard let part = parts[number] else { continue }
      let stream = StreamReader(part.keys.stream)
      try place(
        SampleSpoolReader(part.spool), samples: part.spool.sampleCount, entries: part.entries,
        bits: bits + digitBits
      ) { _, samples, target in
        for sample in 0..<samples.sampleCount {
          let low = try stream.nextInteger()
          let high = try stream.nextInteger()
          target[sample] = UInt64(high) << 32 | UInt64(low)
        }
      }
      // Its place on the disk is free from here on.
      parts[number] = nil
    }
  }

  private final class Part {
    let spool: SampleSpool
    let keys: StreamWriter
    var pending: SampleBatch?
    var entries = 0

    init(_ directory: String, _ shape: SampleShape, keys file: StreamFile) throws {
      spool = try SampleSpool(temporaryIn: directory, shape: shape, chunkSamples: SampleSorter.chunkSamples)
      keys = StreamWriter(file)
    }

    func flush(_ pool: WorkerPool) throws {
      guard let pending, pending.sampleCount > 0 else { return }
      try spool.append([pending], pool)
      entries += pending.entryCount - pending.shape.singleCount * pending.sampleCount
      pending.sampleCount = 0
    }
  }

  /// Cuts samples into parts by the `digitBits` bits of their keys that follow the first `bits`.
  private func cut(
    _ source: some SampleSource, samples: Int, bits: Int, digitBits: Int,
    keys: (_ first: Int, _ samples: SampleBatch, _ target: UnsafeMutablePointer<UInt64>) throws -> Void
  ) throws -> [Part?] {
    var parts: [Part?] = [Part?](repeating: nil, count: 1 << digitBits)
    let file = try StreamFile(temporaryIn: directory)
    let block = SampleBatch(shape: shape, capacity: Self.blockSamples)
    let blockKeys = AlignedBuffer<UInt64>(count: Self.blockSamples)
    let positions = AlignedBuffer<UInt32>(count: Self.blockSamples)
    var ends = [Int](repeating: 0, count: parts.count)
    func digit(_ sample: Int) -> Int {
      Int((blockKeys.base[sample] << UInt64(bits)) >> UInt64(64 - digitBits))
    }
    for first in stride(from: 0, to: samples, by: Self.blockSamples) {
      let count = min(Self.blockSamples, samples - first)
      try source.read(first..<first + count, into: block)
      try keys(first, block, blockKeys.base)
      for number in parts.indices { ends[number] = 0 }
      for sample in 0..<count { ends[digit(sample)] += 1 }
      var start = 0
      for number in parts.indices {
        let size = ends[number]
        ends[number] = start
        start += size
      }
      for sample in 0..<count {
        positions.base[ends[digit(sample)]] = UInt32(sample)
        ends[digit(sample)] += 1
      }
      start = 0
      for (number, end) in ends.enumerated() where end > start {
        let part = try parts[number] ?? Part(directory, shape, keys: file)
        parts[number] = part
        try append(
          UnsafeBufferPointer(start: positions.base + start, count: end - start), of: block, to: part)
        for place in start..<end {
          let key = blockKeys.base[Int(positions.base[place])]
          try part.keys.append(UInt32(truncatingIfNeeded: key))
          try part.keys.append(UInt32(truncatingIfNeeded: key >> 32))
        }
        start = end
      }
      if bits == 0 { try progress(RebatchProgress(phase: .cutting, done: first + count, total: total)) }
    }
    for part in parts {
      try part?.flush(pool)
      part?.pending = nil
      try part?.keys.finish()
    }
    return parts
  }

  private func append(_ positions: UnsafeBufferPointer<UInt32>, of block: SampleBatch, to part: Part) throws {
    let pending = part.pending ?? SampleBatch(shape: shape, capacity: Self.chunkSamples)
    part.pending = pending
    var next = 0
    while next < positions.count {
      let end = min(positions.count, next + Self.chunkSamples - pending.sampleCount)
      pending.append(block, positions: UnsafeBufferPointer(rebasing: positions[next..<end]))
      next = end
      if pending.sampleCount == Self.chunkSamples { try part.flush(pool) }
    }
  }

  /// Loads samples, and appends them to the result in the order of their keys.
  private func sort(
    _ source: some SampleSource, samples: Int,
    keys: (_ first: Int, _ samples: SampleBatch, _ target: UnsafeMutablePointer<UInt64>) throws -> Void
  ) throws {
    guard samples > 0 else { return }
    let all = SampleBatch(shape: shape, capacity: samples)
    try source.read(0..<samples, into: all)
    let order = AlignedBuffer<UInt32>(count: samples)
    do {
      let values = AlignedBuffer<UInt64>(count: samples)
      let scratch = AlignedBuffer<UInt32>(count: samples)
      try keys(0, all, values.base)
      RadixSort.sort(keys: values.base, count: samples, order: order.base, scratch: scratch.base)
    }
    try append(all, UnsafeBufferPointer(order.prefix()))
  }

  /// Appends samples to the result as they come: their keys are equal.
  private func copy(_ source: some SampleSource, samples: Int) throws {
    let block = SampleBatch(shape: shape, capacity: Self.blockSamples)
    let positions = AlignedBuffer<UInt32>(count: Self.blockSamples)
    for sample in 0..<Self.blockSamples { positions.base[sample] = UInt32(sample) }
    for first in stride(from: 0, to: samples, by: Self.blockSamples) {
      let count = min(Self.blockSamples, samples - first)
      try source.read(first..<first + count, into: block)
      try append(block, UnsafeBufferPointer(positions.prefix(count)))
    }
  }

  private func append(_ samples: SampleBatch, _ positions: UnsafeBufferPointer<UInt32>) throws {
    var next = 0
    while next < positions.count {
      let chunk = chunks[fullChunks]
      let end = min(positions.count, next + chunk.capacity - chunk.sampleCount)
      chunk.append(samples, positions: UnsafeBufferPointer(rebasing: positions[next..<end]))
      next = end
      guard chunk.sampleCount == chunk.capacity else { continue }
      fullChunks += 1
      if fullChunks == chunks.count { try flush(chunks[...]) }
    }
  }

  private func flush(_ full: ArraySlice<SampleBatch>) throws {
    guard !full.isEmpty else { return }
    try shuffled.append(full, pool)
    for chunk in full { chunk.sampleCount = 0 }
    fullChunks = 0
    try progress(RebatchProgress(phase: .shuffling, done: shuffled.sampleCount, total: total))
  }
}

/// By what samples are put in order.
enum SampleOrder {
  /// A random key for each number of a sample.
  case random(CounterRandom)
  /// Time, counted from the least; how far its bits are moved up, so that the leading ones tell most.
  case time(least: Int64, shift: UInt64)

  static func shuffled(_ seed: UInt64) -> SampleOrder { .random(CounterRandom(seed: seed, stream: 12)) }

  /// By the times of `samples` samples, which are read once for it.
  static func byTime(_ source: some SampleSource, samples: Int, shape: SampleShape, chunkSamples: Int) throws
    -> SampleOrder
  {
    var least = Int64.max
    var last = Int64.min
    let batch = SampleBatch(shape: shape, capacity: chunkSamples)
    for first in stride(from: 0, to: samples, by: chunkSamples) {
      try source.read(first..<min(samples, first + chunkSamples), into: batch)
      for sample in 0..<batch.sampleCount {
        least = min(least, batch.times.base[sample])
        last = max(last, batch.times.base[sample])
      }
    }
    let span = UInt64(bitPattern: last &- least)
    return .time(least: least, shift: UInt64(min(63, span.leadingZeroBitCount)))
  }

  @inline(__always)
  func key(of sample: Int, in samples: SampleBatch, first: Int) -> UInt64 {
    switch self {
    case .random(let random): random.bits(UInt64(first + sample))
    case .time(let least, let shift): UInt64(bitPattern: samples.times.base[sample] &- least) << shift
    }
  }
}
