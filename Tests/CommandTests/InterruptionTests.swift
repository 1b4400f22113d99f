import Foundation
import TestSupport
import Testing

@Suite struct InterruptionTests {
  /// The run is far too long to finish, and is signalled once it has committed something.
  @Test(arguments: [SIGINT, SIGTERM])
  func aSignalCommitsAndStops(signal: Int32) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "3000", "--rows", "2000", "--seed", "3")
      let made = try Command.json(
        Command.succeed(
          "preprocess", path("log"), "--out", path("data"), "--batch-size", "64", "--format", "json"))
      let batchesPerEpoch = try #require(made["train_batches"]?.number)
      func train(_ model: String, epochs: Int, _ more: String...) throws -> Command.Running {
        try Command.Running(
          [
            "train", path("data"), "--out", path(model), "--config", Command.configuration("dlrm-small.yaml"),
            "--epochs", "\(epochs)",
          ] + more)
      }
      func batches() throws -> Double? {
        let digest = try Command.run("digest", path("model"), "--format", "json")
        return digest.status == 0 ? try Command.json(digest.output)["batches"]?.number : nil
      }

      let run = try train("model", epochs: 100_000, "--memory", "16MiB")
      while run.process.isRunning, try batches() ?? 0 == 0 { Thread.sleep(forTimeInterval: 0.02) }
      kill(run.process.processIdentifier, signal)
      let result = try run.wait()
      #expect(!result.wasKilled && result.status == 128 + signal, "\(result.status): \(result.errors)")
      #expect(result.output.contains("stopped after batch"))

      let trained = try #require(try batches())
      let epochs = Int((trained / batchesPerEpoch).rounded(.down)) + 1
      let again = try train("model", epochs: epochs, "--memory", "16MiB").wait()
      #expect(again.status == 0 && again.errors.contains("going on after batch"), "\(again.errors)")
      #expect(try train("plain", epochs: epochs, "--in-memory").wait().status == 0)
      #expect(try Command.succeed("digest", path("model")) == Command.succeed("digest", path("plain")))
      // A model that was trained for longer is never cut back.
      if epochs > 1 {
        let fewer = try train("model", epochs: epochs - 1, "--memory", "16MiB").wait()
        #expect(fewer.status == 1 && fewer.errors.contains("--epochs \(epochs) or more"), "\(fewer.errors)")
      }
    }
  }
}
