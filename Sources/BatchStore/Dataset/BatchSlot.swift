import Primitives

/// What one task needs to make a batch: several batches of a group are made side by side, each in its slot.
final class BatchSlot {
  let samples: SampleBatch
  let batch: Batch
  let raw = GrowableBuffer<UInt8>()
  let packed = GrowableBuffer<UInt8>()
  let codes = GrowableBuffer<UInt16>()
  let flags = GrowableBuffer<UInt8>()
  let lz4: LZ4Decoder
  private let builder: BatchBuilder
  private let encoder = BatchEncoder()
  private var failure: (any Error)?

  init(tableCount: Int, denseCount: Int, batchSize: Int) throws {
    samples = SampleBatch(tableCount: tableCount, denseCount: denseCount, capacity: batchSize)
    batch = Batch(
      layout: BatchBuilder.layout(tableCount: tableCount, denseCount: denseCount, capacity: batchSize))
    builder = BatchBuilder(capacity: batchSize)
    lz4 = try LZ4Decoder()
  }

  /// Makes `batch` of `samples`, checks it, and puts its body in `raw` and the compressed body in `packed`.
  func build(_ samples: SampleBatch, index: Int, tables: [TableLayout]) throws {
    builder.build(samples, index: index, into: batch)
    for table in tables.indices {
      let end = Int(batch.tableOffsets.base[table + 1])
      let largest = batch.keys.base[end - 1].row
      guard largest < tables[table].rows else {
        throw ChanterError(
          .badInput, "row \(largest) in table \(tables[table].name), which has \(tables[table].rows) rows")
      }
    }
    raw.removeAll()
    encoder.appendBody(batch, to: raw)
    packed.removeAll()
    _ = try LZ4Frame.compress(raw.bytes, into: packed)
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
