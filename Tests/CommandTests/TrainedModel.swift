import Foundation
import TestSupport
import Testing

/// A small dataset with a digest that every way of training on it has to end with, made with the commands.
struct TrainedModel {
  let directory: URL
  let digest: String
  /// Seconds of the plain run.
  let seconds: Double
  let samples: Int

  /// What every run of it is given beside dataset, model and memory: layers so small that storage is most of the work.
  let settings: [String]

  func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

  func train(_ model: String, memory: String = "13MiB") -> [String] {
    ["train", path("data"), "--out", model, "--memory", memory] + settings
  }

  func trained(_ model: String, memory: String = "13MiB") throws -> Command.Result {
    try Command.Running(train(model, memory: memory)).wait()
  }

  static func with(
    samples: Int, batchSize: Int, epochs: Int, rows: Int = 4000, _ body: (TrainedModel) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed(
        "generate", path("log"), "--samples", "\(samples)", "--rows", "\(rows)", "--seed", "5")
      try Command.succeed("preprocess", path("log"), "--out", path("data"), "--batch-size", "\(batchSize)")
      let settings = [
        "--config", Command.configuration("dlrm-small.yaml"), "--set", "bottom=[16, 16]", "--set",
        "top=[16, 1]",
        "--set", "epochs=\(epochs)", "--lookahead", "8",
      ]
      let start = ContinuousClock.now
      let plain = try Command.Running(
        ["train", path("data"), "--out", path("plain"), "--in-memory"] + settings
      ).wait()
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      #expect(plain.status == 0, "\(plain.errors)")
      try body(
        TrainedModel(
          directory: directory, digest: Command.succeed("digest", path("plain")), seconds: seconds,
          samples: samples, settings: settings))
    }
  }
}
