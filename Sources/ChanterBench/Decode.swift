import ArgumentParser
import BatchStore
import Primitives

/// Decodes the batches of a dataset's training split in turns, on one thread; or copies what a batch decodes to, which is the
/// limit for whatever fills it.
struct Decode: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Decode the batches of a dataset, one thread.")
  @Argument(help: "Dataset directory.") var dataset: String
  @Flag(help: "Copy one decoded batch again and again.") var copy = false

  func run() throws {
    let dataset = try Dataset(opening: dataset)
    let part = dataset.manifest.train
    let reader = try dataset.reader(.train)
    guard reader.batchCount > 0 else {
      throw ChanterError(.badInput, "no training batches", path: dataset.path)
    }
    let batch = Batch(layout: reader.layout)
    let bytes = part.segments.reduce(0) { $0 + $1.bytes }
    let copied = Batch(layout: reader.layout)
    try reader.read(0, into: batch)
    var next = 0
    try takeTurns([
      "samples": Double(part.samples), "bytes_per_sample": Double(bytes) / Double(part.samples),
      "raw_bytes_per_sample": Double(part.rawBytes) / Double(part.samples),
      "batch": Double(dataset.manifest.batchSize),
    ]) { deadline in
      var samples = 0
      repeat {
        if copy {
          copied.copy(batch)
        } else {
          try reader.read(next % reader.batchCount, into: batch)
        }
        samples += batch.sampleCount
        next += 1
      } while ContinuousClock.now < deadline
      return samples
    }
  }
}

extension Batch {
  /// Copies all that a decoder writes.
  fileprivate func copy(_ other: Batch) {
    let samples = other.sampleCount
    keys.base.update(from: other.keys.base, count: other.uniqueCount)
    nextUse.base.update(from: other.nextUse.base, count: other.uniqueCount)
    firstTouch.base.update(from: other.firstTouch.base, count: other.uniqueCount)
    inverse.base.update(from: other.inverse.base, count: other.entryCount)
    bagOffsets.base.update(from: other.bagOffsets.base, count: layout.bagCount * (samples + 1))
    dense.base.update(from: other.dense.base, count: samples * layout.denseCount)
    labels.base.update(from: other.labels.base, count: samples)
    weights.base.update(from: other.weights.base, count: samples)
  }
}
