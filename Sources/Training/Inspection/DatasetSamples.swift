public import BatchStore
import Primitives

/// One sample as a dataset stores it.
public struct StoredSample: Sendable {
  /// Counted from 0 through the parts: train, valid, holdout.
  public let number: Int
  public let split: Split
  public let label: Float
  /// In the units of the schema's time column; nil if the dataset has none.
  public let time: Int64?
  /// As the model sees them.
  public let dense: [Float]
  /// The rows of each feature: one, or those of its bag.
  public let rows: [[UInt32]]
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
    let spans = dataset.manifest.spans(of: split)
    for index in spans.batch(holding: range.lowerBound)...spans.batch(holding: range.upperBound - 1) {
      try reader.read(index, into: batch)
      let start = spans.samples(of: index).lowerBound
      for position in range.clamped(to: start..<start + batch.sampleCount) {
        let sample = position - start
        let denseCount = batch.layout.denseCount
        try body(
          StoredSample(
            number: first + position, split: split, label: batch.labels[sample],
            time: batch.layout.shape.hasTimes ? batch.times[sample] : nil,
            dense: Array(batch.dense.prefix()[sample * denseCount..<(sample + 1) * denseCount]),
            rows: batch.rows(of: sample)))
      }
    }
  }
}

extension Batch {
  /// The rows of one sample, feature by feature.
  func rows(of sample: Int) -> [[UInt32]] {
    var bag = 0
    return layout.features.enumerated().map { number, feature in
      let start = Int(entryOffsets[number])
      var entries = start + sample..<start + sample + 1
      if feature.isBag {
        let place = bag * (sampleCount + 1) + sample
        entries = start + Int(bagOffsets[place])..<start + Int(bagOffsets[place + 1])
        bag += 1
      }
      return entries.map { keys[Int(inverse[$0])].row }
    }
  }
}
