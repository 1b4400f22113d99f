import BatchStore
import Primitives

/// Samples of one split that can be read in any order; for one thread.
protocol SampleSource {
  /// Fills `target` with the samples `range`, which must be there and fit.
  func read(_ range: Range<Int>, into target: SampleBatch) throws
}

extension SampleSpoolReader: SampleSource {}

/// The samples of a split as its batches hold them. Memory: a reader and one batch.
final class DatasetSamples: SampleSource {
  private let reader: BatchReader
  private let batch: Batch
  private let spans: BatchSpans
  private var loaded = -1

  init(_ dataset: Dataset, _ split: Split) throws {
    reader = try dataset.reader(split)
    batch = Batch(layout: reader.layout)
    spans = dataset.manifest.spans(of: split)
  }

  static func bytes(of dataset: Dataset, _ split: Split) -> Int {
    BatchReader.bytes(of: dataset, split: split) + dataset.layout(of: split).bytes
  }

  func read(_ range: Range<Int>, into target: SampleBatch) throws {
    target.sampleCount = 0
    var next = range.lowerBound
    while next < range.upperBound {
      let number = spans.batch(holding: next)
      if loaded != number {
        loaded = -1
        try reader.read(number, into: batch)
        loaded = number
      }
      let start = spans.samples(of: number).lowerBound
      let end = min(range.upperBound, start + batch.sampleCount)
      target.append(batch, next - start..<end - start)
      next = end
    }
  }
}
