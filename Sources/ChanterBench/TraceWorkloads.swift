import ArgumentParser
import BatchStore
import Foundation
import Primitives
import TableStore
import Training

/// Writes a batch store with a part of a Criteo-like log, straight from row numbers.
struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a dataset with a part of a log that is skewed as Criteo's.")

  @Argument(help: "Dataset directory to make.") var path: String
  @Option(
    help:
      "Rows of all tables. Criteo Kaggle's by default; the large features and the length of the log follow.")
  var rows = 33_762_629
  @Option(help: "Samples to write.") var samples = 2_000_000
  @Option(help: "Where they start in the log; by default they are its last ones.") var start: Int?
  @Option(help: "Samples of a batch.") var batchSize = 2048
  @Option(help: "Seed of all draws.") var seed: UInt64 = 1
  @Flag(name: .customLong("fp16"), help: "Store dense columns in half precision.") var isHalf = false

  func validate() throws {
    let trace = ClickTrace(rows: rows, seed: seed)
    guard rows >= 200_000, samples > 0, (start ?? 0) >= 0, (start ?? 0) + samples <= trace.samples else {
      throw ValidationError("give at least 200,000 rows; their log has \(trace.samples) samples")
    }
  }

  func run() throws {
    let trace = ClickTrace(rows: rows, seed: seed)
    let first = start ?? trace.samples - samples
    let output = try PendingOutput(path)
    var content = DatasetContent(tables: trace.layouts, denseCount: ClickTrace.denseCount)
    content.densePrecision = isHalf ? .fp16 : .fp32
    let writer = try DatasetWriter(
      to: output, content: content, batchSize: batchSize,
      pool: WorkerPool(threadCount: ProcessInfo.processInfo.activeProcessorCount))
    let batches = (samples + batchSize - 1) / batchSize
    let begin = ContinuousClock.now
    try writer.append(batches, to: .train) { index, samples, _ in
      let done = index * batchSize
      trace.fill(samples, first: first + done, count: min(batchSize, self.samples - done))
    }
    let manifest = try writer.finish()
    Report(
      count: trace.rows, bytes: manifest.train.compressedBytes,
      seconds: (ContinuousClock.now - begin) / .seconds(1)
    ).print()
  }
}

/// Makes the model that a run over the whole log would have left: every declared row stored, the cursor after one epoch, so
/// that training with `--epochs 2` reads what it uses and trusts no first touch.
struct Populate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a model of a dataset with every declared row stored in its block.")

  @Argument(help: "Dataset directory.") var dataset: String
  @Option(help: "Model directory to make.") var out: String
  @Option(help: "Configuration file.") var config: String
  @Option(help: "One key changed, as key=value.") var set: [String] = []

  func run() throws {
    let configuration = try ConfigurationReader.read(path: config, overrides: set)
    let (store, batches) = try makeModel(out, dataset: dataset, configuration: configuration)
    let dimension = store.layout.dimension
    let floats = store.layout.rowFloats
    let rows = store.layout.tables.reduce(0) { $0 + Int($1.rows) }
    try Report.timed(count: rows, bytes: rows * store.layout.rowBytes) {
      _ = try store.loadAll { _, _, count, rows in
        for row in 0..<count {
          for place in dimension..<floats { rows[row * floats + place] = 0.01 }
        }
      }
      // After the rows: a model that is whole has them all.
      let dense = AlignedBuffer<UInt8>(count: try store.readState().denseBytes)
      _ = try store.readState(dense: UnsafeMutableRawBufferPointer(dense.prefix()))
      _ = try store.commit(
        keys: [], order: [], count: 0, rows: [], dense: dense.rawBytes, cursor: UInt64(batches))
    }
  }
}
