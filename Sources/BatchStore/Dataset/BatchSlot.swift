import Primitives

/// What one task needs to make a batch: several batches of a group are made side by side, each in its slot.
final class BatchSlot {
  let samples: SampleBatch
  private(set) var batch: Batch
  let raw = GrowableBuffer<UInt8>()
  let packed = GrowableBuffer<UInt8>()
  let codes = GrowableBuffer<UInt16>()
  let flags = GrowableBuffer<UInt8>()
  private let builder: BatchBuilder
  private let encoder: BatchEncoder
  /// The most entries of the bags of a batch.
  private let bagEntries: Int
  private var failure: (any Error)?

  init(shape: SampleShape, precision: DensePrecision, batchSize: Int, bagEntries: Int) throws {
    self.bagEntries = bagEntries
    samples = SampleBatch(shape: shape, capacity: batchSize)
    batch = Batch(layout: BatchBuilder.layout(shape: shape, capacity: batchSize))
    builder = BatchBuilder(shape: shape)
    encoder = BatchEncoder(precision: precision)
  }

  /// Makes `batch` of `samples`, checks it, and puts its body in `raw` and the compressed body in `packed`.
  func build(_ samples: SampleBatch, index: Int, tables: [TableLayout]) throws {
    try checkValues(samples)
    makeRoom(for: samples)
    builder.build(samples, index: index, into: batch)
    for table in tables.indices {
      let end = Int(batch.tableOffsets.base[table + 1])
      if end == Int(batch.tableOffsets.base[table]) { continue }
      let largest = batch.keys.base[end - 1].row
      guard largest < tables[table].rows else {
        throw ChanterError(
          .badInput, "row \(largest) in table \(tables[table].name), which has \(tables[table].rows) rows")
      }
    }
    raw.removeAll()
    encoder.appendBody(batch, to: raw)
    countValues()
    try RecordHeader.pack(raw.bytes, .chunk, number: samples.sampleCount, into: packed)
  }

  /// Makes `batch` of the body in `raw`, of which the number of samples is known.
  func decodeBody(_ tables: [TableLayout], samples: Int, path: String) throws {
    let (unique, entries) = try BatchDecoder.counts(
      raw.bytes, batch.layout.shape, samples: samples, path: path)
    let layout = BatchLayout(
      shape: batch.layout.shape, maximumSamples: max(samples, batch.layout.maximumSamples),
      maximumUniqueRows: max(unique, batch.layout.maximumUniqueRows),
      maximumEntries: max(entries, batch.layout.maximumEntries))
    if layout != batch.layout { batch = Batch(layout: layout) }
    let decoder = BatchDecoder(tables: tables, layout: layout, precision: encoder.precision)
    // Hints that say nothing, which a frame has and a body lacks.
    let body = raw.count
    codes.removeAll()
    codes.extend(by: unique).initialize(repeating: 0, count: unique)
    flags.removeAll()
    flags.extend(by: unique).initialize(repeating: 0, count: unique)
    encoder.appendHints(nextUse: codes.base, firstTouch: flags.base, count: unique, to: raw)
    try decoder.decode(
      raw.bytes, sampleCount: samples, uniqueCount: unique, into: batch, path: path, offset: 0)
    raw.truncate(to: body)
    countValues()
  }

  /// Entries of rows that stand for a value, and of row 0.
  private(set) var values = (all: 0, unseen: 0)

  private func countValues() {
    let keys = batch.keys.base
    let inverse = batch.inverse.base
    var empty = 0
    values.unseen = 0
    for (number, feature) in batch.layout.features.enumerated() {
      let first = batch.tableOffsets.base[feature.table]
      let end = batch.tableOffsets.base[feature.table + 1]
      // The two rows that stand for no value come first, if they are there.
      for position in first..<min(end, first + 2) where keys[Int(position)].row <= Vocabulary.emptyRow {
        var uses = 0
        for entry in Int(batch.entryOffsets.base[number])..<Int(batch.entryOffsets.base[number + 1]) {
          uses += inverse[entry] == position ? 1 : 0
        }
        if keys[Int(position)].row == Vocabulary.unseenRow { values.unseen += uses } else { empty += uses }
      }
    }
    values.all = batch.entryCount - empty
  }

  /// What a frame cannot hold.
  private func checkValues(_ samples: SampleBatch) throws {
    let entries = samples.entryCount
    let inBags = entries - samples.shape.singleCount * samples.sampleCount
    guard entries <= Manifest.maximumEntries, inBags <= bagEntries else {
      throw ChanterError(
        .badInput,
        "a batch of \(samples.sampleCount) samples has \(inBags) values in multi-valued columns, more than the"
          + " \(min(bagEntries, Manifest.maximumEntries)) that there is room for; use smaller batches or more memory, or"
          + " set `maximum_length`")
    }
    if encoder.precision == .fp16 { try samples.requireHalves() }
    if samples.shape.hasWeights {
      for sample in 0..<samples.sampleCount
      where !(samples.weights.base[sample] > 0 && samples.weights.base[sample] < .infinity) {
        throw ChanterError(.badInput, "a sample has the weight \(samples.weights.base[sample])")
      }
    }
  }

  /// The bags of a batch may have any number of entries: the batch grows with the richest.
  private func makeRoom(for samples: SampleBatch) {
    let layout = batch.layout
    guard samples.entryCount > layout.maximumEntries else { return }
    let bagEntries = samples.entryCount - layout.shape.singleCount * samples.sampleCount
    batch = Batch(
      layout: BatchBuilder.layout(
        shape: layout.shape, capacity: layout.maximumSamples, bagEntries: bagEntries + bagEntries / 4))
  }

  /// Puts `codes` and `flags` as a record into `packed`.
  func packHints() throws {
    raw.removeAll()
    raw.append(bytes: codes.bytes)
    raw.append(bytes: flags.bytes)
    try RecordHeader.pack(raw.bytes, .hints, number: codes.count, into: packed)
  }

  /// Takes `codes` and `flags` from a record.
  func unpackHints(from file: File, at offset: Int) throws {
    let header = try RecordHeader.load(file, at: offset, packed, into: raw)
    let count = header.number
    guard header.kind == .hints, raw.count == 3 * count else { throw RecordHeader.damaged(file) }
    codes.removeAll()
    UnsafeMutableRawPointer(codes.extend(by: count)).copyMemory(from: raw.base, byteCount: 2 * count)
    flags.removeAll()
    flags.extend(by: count).update(from: raw.base + 2 * count, count: count)
  }

  /// Appends `codes` and `flags` to the body in `raw` and puts the finished frame in `packed`.
  func finish(index: Int, sampleCount: Int) throws {
    encoder.appendHints(nextUse: codes.base, firstTouch: flags.base, count: codes.count, to: raw)
    try SegmentWriter.frame(
      raw.bytes, batch: index, sampleCount: sampleCount, uniqueCount: codes.count, into: packed)
  }

  /// Runs `body` for the first `count` slots side by side, and throws what the first of those that failed threw.
  static func run(
    _ slots: [BatchSlot], _ count: Int, on pool: WorkerPool,
    _ body: (_ task: Int, _ slot: BatchSlot, _ worker: Int) throws -> Void
  ) throws {
    pool.run(count) { task, worker in
      let slot = slots[task]
      do { try body(task, slot, worker) } catch { slot.failure = error }
    }
    for slot in slots[..<count] { if let failure = slot.failure { throw failure } }
  }
}
