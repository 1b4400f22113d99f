import BatchStore
import Foundation
import Primitives
import TestSupport

/// Random samples of a whole split as plain arrays: the reference that what comes back is compared with.
struct ReferenceSplit {
  /// `rows[sample][table]`
  var rows: [[UInt32]] = []
  var dense: [[Float]] = []
  var labels: [Float] = []

  init(samples: Int, tables: [TableLayout], denseCount: Int, seed: UInt64) {
    let random = CounterRandom(seed: seed, stream: 100)
    for sample in 0..<samples {
      let own = CounterRandom(random, UInt64(sample))
      rows.append(
        tables.enumerated().map { table, layout in
          // Squaring makes low rows frequent, so that rows repeat within and across batches.
          let unit = own.uniform(UInt64(table))
          return UInt32(unit * unit * unit * Double(layout.rows))
        })
      dense.append((0..<denseCount).map { Float(own.normal(UInt64(1000 + $0))) })
      labels.append(Float(own.below(2, 2000)))
    }
  }

  /// Samples `range` as a batch to write.
  func batch(_ range: Range<Int>, tables: Int, denseCount: Int, capacity: Int) -> SampleBatch {
    let batch = SampleBatch(tableCount: tables, denseCount: denseCount, capacity: capacity)
    batch.sampleCount = range.count
    for (position, sample) in range.enumerated() {
      for table in 0..<tables { batch.rows[table * capacity + position] = rows[sample][table] }
      for column in 0..<denseCount { batch.dense[position * denseCount + column] = dense[sample][column] }
      batch.labels[position] = labels[sample]
    }
    return batch
  }
}

/// A dataset of random samples written to `path`.
@discardableResult
func writeDataset(
  to path: String, tables: [TableLayout], denseCount: Int, batchSize: Int, train: ReferenceSplit,
  holdout: ReferenceSplit, segmentBytes: Int = DatasetWriter.defaultSegmentBytes,
  rowsPerPartition: Int = DatasetWriter.defaultRowsPerPartition
) throws -> Manifest {
  let writer = try DatasetWriter(
    to: try PendingOutput(path), tables: tables, denseCount: denseCount, batchSize: batchSize,
    segmentBytes: segmentBytes, rowsPerPartition: rowsPerPartition)
  for (split, samples) in [(Split.train, train), (.holdout, holdout)] {
    for start in stride(from: 0, to: samples.labels.count, by: batchSize) {
      let range = start..<min(start + batchSize, samples.labels.count)
      try writer.append(
        samples.batch(range, tables: tables.count, denseCount: denseCount, capacity: batchSize), to: split)
    }
  }
  return try writer.finish()
}

/// Every byte that a batch holds, for comparing two of them.
func contents(of batch: Batch) -> [UInt64] {
  let samples = batch.sampleCount
  let unique = batch.uniqueCount
  var all: [UInt64] = [UInt64(samples), UInt64(unique), UInt64(batch.index)]
  all += batch.tableOffsets.prefix().map(UInt64.init)
  all += batch.keys.prefix(unique)
  all += batch.nextUse.prefix(unique).map(UInt64.init)
  all += batch.firstTouch.prefix(unique).map(UInt64.init)
  all += batch.entryOffsets.prefix().map(UInt64.init)
  all += batch.inverse.prefix(batch.entryCount).map(UInt64.init)
  all += batch.bagOffsets.prefix(batch.layout.bagCount * (samples + 1)).map(UInt64.init)
  all += batch.dense.prefix(samples * batch.layout.denseCount).map { UInt64($0.bitPattern) }
  all += batch.labels.prefix(samples).map { UInt64($0.bitPattern) }
  all += batch.weights.prefix(samples).map { UInt64($0.bitPattern) }
  return all
}
