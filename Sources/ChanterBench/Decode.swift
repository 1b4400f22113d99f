import ArgumentParser
import BatchStore
import Primitives

/// Decodes the batches of a dataset's training split in turns, on one thread.
struct Decode: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Decode the batches of a dataset, one thread.")
  @Argument(help: "Dataset directory.") var dataset: String

  func run() throws {
    let dataset = try Dataset(opening: dataset)
    let part = dataset.manifest.train
    let reader = try dataset.reader(.train)
    guard reader.batchCount > 0 else {
      throw ChanterError(.badInput, "no training batches", path: dataset.path)
    }
    let batch = Batch(layout: reader.layout)
    let bytes = part.segments.reduce(0) { $0 + $1.bytes }
    var next = 0
    try takeTurns([
      "samples": Double(part.samples), "bytes_per_sample": Double(bytes) / Double(part.samples),
      "raw_bytes_per_sample": Double(part.rawBytes) / Double(part.samples),
      "batch": Double(dataset.manifest.batchSize),
    ]) { deadline in
      var samples = 0
      repeat {
        try reader.read(next % reader.batchCount, into: batch)
        samples += batch.sampleCount
        next += 1
      } while ContinuousClock.now < deadline
      return samples
    }
  }
}
