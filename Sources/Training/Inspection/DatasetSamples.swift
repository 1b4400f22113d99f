public import BatchStore
import Primitives

/// One sample as a dataset stores it.
public struct StoredSample: Sendable {
  /// Counted from 0 through both parts: the order of the log, whose end is held out.
  public let number: Int
  public let split: Split
  public let label: Float
  /// As the model sees them.
  public let dense: [Float]
  /// The row of each table.
  public let rows: [UInt32]
}

extension DatasetInspection {
  /// Calls `body` with the samples of a range, in order; reads only the batches that hold them.
  /// - Throws: `.badInput` for a range that the dataset does not have.
  public func forEachSample(in range: Range<Int>, _ body: (StoredSample) throws -> Void) throws {
    let manifest = dataset.manifest
    guard range.lowerBound >= 0, range.upperBound <= manifest.samples else {
      throw ChanterError(
        .badInput, "it has the samples 0 to \(manifest.samples - 1), not \(range.upperBound - 1)",
        path: dataset.path)
    }
    var first = 0
    for split in Split.allCases {
      let end = first + manifest.split(split).samples
      let wanted = range.clamped(to: first..<end)
      if !wanted.isEmpty {
        try forEachSample(of: split, in: wanted.lowerBound - first..<wanted.upperBound - first, first, body)
      }
      first = end
    }
  }

  /// - Parameters:
  ///   - range: counted inside the split.
  ///   - first: number of the split's first sample.
  private func forEachSample(
    of split: Split, in range: Range<Int>, _ first: Int, _ body: (StoredSample) throws -> Void
  ) throws {
    let reader = try dataset.reader(split)
    let batch = Batch(layout: reader.layout)
    let batchSize = dataset.manifest.batchSize
    for index in range.lowerBound / batchSize...(range.upperBound - 1) / batchSize {
      try reader.read(index, into: batch)
      let start = index * batchSize
      for position in range.clamped(to: start..<start + batch.sampleCount) {
        let sample = position - start
        let denseCount = batch.layout.denseCount
        try body(
          StoredSample(
            number: first + position, split: split, label: batch.labels[sample],
            dense: Array(batch.dense.prefix()[sample * denseCount..<(sample + 1) * denseCount]),
            rows: (0..<batch.layout.tableCount).map { table in
              batch.keys[Int(batch.inverse[table * batch.sampleCount + sample])].row
            }))
      }
    }
  }
}
