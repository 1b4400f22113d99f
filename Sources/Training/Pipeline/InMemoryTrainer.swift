import BatchStore
import Lookahead
import Models
import Primitives
import TableStore

/// The plain synchronous trainer: every row of every table in memory, one batch after the other, no planner, no cache,
/// no thread beside the compute workers. What it gives is the definition of what the out-of-core trainer must give.
final class InMemoryTrainer {
  private let layout: RowLayout
  private let network: DenseModel
  private let controller: TrainingController
  private let reader: BatchReader
  private let batch: Batch
  /// All rows of all tables, table after table.
  private let rows: AlignedBuffer<Float>
  /// First row of each table in `rows`.
  private let tableStarts: [Int]
  private let slots: AlignedBuffer<UInt32>
  /// Batches trained when `run` has returned.
  private(set) var cursor = 0
  /// One bit a row: changed since the last commit.
  private let changed: AlignedBuffer<UInt64>

  init(
    layout: RowLayout, network: DenseModel, controller: TrainingController, reader: BatchReader
  ) throws {
    self.layout = layout
    self.network = network
    self.controller = controller
    self.reader = reader
    batch = Batch(layout: reader.layout)
    slots = AlignedBuffer(count: reader.layout.maximumUniqueRows)
    tableStarts = layout.tables.reduce(into: [0]) { $0.append(($0.last ?? 0) + Int($1.rows)) }
    let count = tableStarts.last ?? 0
    guard count <= Int(UInt32.max) else {
      throw ChanterError(
        .unsupported,
        "\(count) rows are more than the in-memory trainer can number; train without --in-memory")
    }
    rows = AlignedBuffer(count: count * layout.rowFloats)
    changed = AlignedBuffer(count: (count + 63) / 64)
    for table in layout.tables.indices {
      for row in 0..<layout.tables[table].rows {
        layout.fillInitial(table: table, row: row, into: pointer(RowKey(table: table, row: row)))
      }
    }
  }

  /// Bytes that a trainer of this layout allocates beside the network: every row, the copy of a commit that changes all of
  /// them, and one batch.
  static func bytes(layout: RowLayout, batchLayout: BatchLayout) -> Int {
    layout.allRows * (2 * layout.rowBytes + 13) + batchLayout.bytes
  }

  /// - Throws: `.budget` if this machine cannot hold so much.
  static func requireMachine(has bytes: Int, _ advice: String) throws {
    let limit = MachineMemory.limit
    guard bytes <= limit else {
      throw ChanterError(
        .budget,
        "the plain trainer needs \(ByteSize.ceilingMebibytes(bytes)) here, and this machine, or the cgroup of this process,"
          + " has \(ByteSize.format(limit)); \(advice)")
    }
  }

  private func slot(_ key: RowKey) -> Int { tableStarts[key.table] + Int(key.row) }

  private func pointer(_ key: RowKey) -> UnsafeMutablePointer<Float> {
    rows.base + slot(key) * layout.rowFloats
  }

  /// Takes over every row that the model has stored.
  func load(_ snapshot: Snapshot) throws {
    try snapshot.forEachStoredRow { key, row in
      guard key.row < layout.tables[key.table].rows else { return }
      pointer(key).update(from: row, count: layout.rowFloats)
    }
  }

  /// Trains `steps`, or fewer when `stop` is requested or a validation ends training. With a store it commits every `commitInterval` batches and at the
  /// end; without one nothing is written.
  func run(
    _ steps: Range<Int>, store: ModelStore?, commitInterval: Int, compactionBlocks: Int, stop: StopSignal,
    meter: RunMeter, observer: StepObserver?
  ) throws {
    var totals = CommitWriter.Totals()
    cursor = steps.lowerBound
    if controller.isDue(at: steps.lowerBound) {
      guard try validate(at: steps.lowerBound, store: store, stop: stop) else { return }
    }
    if controller.state.isStopped { return }
    meter.begin()
    for step in steps {
      try reader.read(step % reader.batchCount, into: batch)
      for position in 0..<batch.uniqueCount {
        slots.base[position] = UInt32(slot(batch.keys.base[position]))
      }
      let input = BatchInput(
        batch, rows: rows.base, rowFloats: layout.rowFloats, slots: slots.base)
      let loss = try controller.train(network, input, step: step, tables: layout.tables)
      try observer?(TrainedStep(step: step, batch: batch, input: input, parameters: network.parameterBytes))
      for position in 0..<batch.uniqueCount {
        let slot = Int(slots.base[position])
        changed.base[slot >> 6] |= 1 << UInt64(slot & 63)
      }
      meter.count(samples: batch.sampleCount, uniqueRows: batch.uniqueCount, loss: loss)
      cursor = step + 1
      let isDue = controller.isDue(at: cursor)
      var isLast = step + 1 == steps.upperBound || stop.isRequested
      if let store, isLast || isDue || (step + 1) % commitInterval == 0 {
        try meter.waitingForCommit {
          totals.bytesWritten += try commit(to: store, cursor: step + 1)
          totals.commits += 1
          if totals.commits % PlannerConfiguration.defaultCommitsPerCompaction == 0 {
            totals.bytesWritten += try store.compactAll(maximumBlocks: compactionBlocks, stop: stop)
            totals.compactions += 1
          }
        }
      }
      if isDue {
        let isDone = try validate(at: step + 1, store: store, stop: stop)
        isLast = isLast || !isDone || controller.state.isStopped
      }
      meter.report(step: step, writer: totals)
      if isLast { break }
    }
    meter.count(totals)
  }

  /// Writes the changed rows in key order and forgets that they changed.
  private func commit(to store: ModelStore, cursor: Int) throws -> Int {
    var count = 0
    for word in changed.prefix() { count += word.nonzeroBitCount }
    let keys = AlignedBuffer<RowKey>(count: count)
    let order = AlignedBuffer<UInt32>(count: count)
    let values = AlignedBuffer<Float>(count: count * layout.rowFloats)
    var index = 0
    for table in layout.tables.indices {
      for row in 0..<layout.tables[table].rows {
        let key = RowKey(table: table, row: row)
        let slot = slot(key)
        guard changed.base[slot >> 6] >> UInt64(slot & 63) & 1 == 1 else { continue }
        keys.base[index] = key
        order.base[index] = UInt32(index)
        (values.base + index * layout.rowFloats).update(
          from: rows.base + slot * layout.rowFloats, count: layout.rowFloats)
        index += 1
      }
    }
    changed.prefix().update(repeating: 0)
    return try withRecord { record in
      try store.commit(
        keys: keys.base, order: order.base, count: count, rows: values.base, dense: record,
        cursor: UInt64(cursor)
      ).bytesWritten
    }
  }

  /// Calls `body` with the dense record as it is now.
  private func withRecord<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try DenseRecord.with(network.parameterBytes, controller.state, body)
  }

  /// Scores the validation split with the rows as they are, and commits what follows from it.
  /// - Returns: false if `stop` ended it.
  private func validate(at cursor: Int, store: ModelStore?, stop: StopSignal) throws -> Bool {
    guard let validation = controller.validation else { return true }
    let isDone = try controller.validate(cursor: cursor, store: store, stop: stop) { body in
      let reader = try validation.makeReader()
      let batch = Batch(layout: reader.layout)
      let slots = AlignedBuffer<UInt32>(count: reader.layout.maximumUniqueRows)
      let scores = AlignedBuffer<Float>(count: reader.layout.maximumSamples)
      for index in 0..<reader.batchCount {
        try reader.read(index, into: batch)
        for position in 0..<batch.uniqueCount {
          slots.base[position] = UInt32(slot(batch.keys.base[position]))
        }
        let input = BatchInput(
          batch, rows: rows.base, rowFloats: layout.rowFloats, slots: slots.base)
        network.predict(input, into: scores.base)
        try body(batch, scores.base)
      }
    }
    if isDone, let store { _ = try withRecord { try store.commit(dense: $0, cursor: UInt64(cursor)) } }
    return isDone
  }

  /// The digest of the model as it is now, without a store.
  func digest(cursor: Int) -> String {
    var digest = ModelDigest(layout: layout)
    for table in layout.tables.indices {
      for row in 0..<layout.tables[table].rows {
        let key = RowKey(table: table, row: row)
        digest.add(key, pointer(key))
      }
    }
    return DenseRecord.with(network.parameterBytes, controller.state) { record in
      digest.finish(dense: record, cursor: UInt64(cursor))
    }
  }

  /// The first row that `snapshot` holds with another value, in words, or nil.
  func firstDifference(from snapshot: Snapshot) throws -> String? {
    var difference: String?
    let stored = AlignedBuffer<Float>(count: layout.rowFloats)
    var slot: UInt32 = 0
    for table in layout.tables.indices {
      for row in 0..<layout.tables[table].rows where difference == nil {
        var key = RowKey(table: table, row: row)
        _ = try snapshot.fetch(keys: &key, count: 1, slots: &slot, rows: stored.base)
        let isEqual = UnsafeRawBufferPointer(start: pointer(key), count: layout.rowBytes)
          .elementsEqual(stored.rawBytes)
        if !isEqual { difference = "table \(layout.tables[table].name), row \(row)" }
      }
    }
    return difference
  }
}
