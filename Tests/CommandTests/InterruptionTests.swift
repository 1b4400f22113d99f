import Foundation
import Primitives
import TestSupport
import Testing

@Suite struct InterruptionTests {
  private let arguments = [
    "--config", Command.configuration("dlrm-small.yaml"), "--memory", "13MiB", "--epochs", "2",
  ]

  private func withDataset(samples: Int, _ body: (URL, _ digest: String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "\(samples)", "--rows", "4000", "--seed", "3")
      try Command.succeed("preprocess", path("log"), "--out", path("data"), "--batch-size", "64")
      let plain = try Command.Running(
        ["train", path("data"), "--out", path("plain"), "--in-memory"] + arguments
      ).wait()
      #expect(plain.status == 0, "\(plain.errors)")
      try body(directory, Command.succeed("digest", path("plain")))
    }
  }

  @Test func tenKillsLeaveNoTrace() throws {
    try withDataset(samples: Command.isOptimized ? 60_000 : 6000) { directory, digest in
      let data = directory.appendingPathComponent("data").path
      let model = directory.appendingPathComponent("model").path
      let random = CounterRandom(seed: UInt64(Date().timeIntervalSince1970), stream: 99)
      var kills = 0
      for attempt in 0..<200 as Range<UInt64> {
        let run = try Command.Running(["train", data, "--out", model] + arguments)
        if kills < 10 {
          // Opening takes some milliseconds, a commit and a few batches likewise.
          Thread.sleep(forTimeInterval: 0.01 + 0.2 * random.uniform(attempt))
          kill(run.process.processIdentifier, SIGKILL)
        }
        let result = try run.wait()
        if result.wasKilled {
          kills += 1
        } else {
          #expect(result.status == 0, "\(result.errors)")
          break
        }
      }
      #expect(kills == 10)
      #expect(try Command.succeed("digest", model) == digest)
    }
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func aSignalCommitsAndStops(signal: Int32) throws {
    try withDataset(samples: Command.isOptimized ? 60_000 : 6000) { directory, digest in
      let data = directory.appendingPathComponent("data").path
      let model = directory.appendingPathComponent("model").path
      let run = try Command.Running(["train", data, "--out", model] + arguments)
      Thread.sleep(forTimeInterval: 0.3)
      kill(run.process.processIdentifier, signal)
      let result = try run.wait()
      #expect(!result.wasKilled && result.status == 128 + signal, "\(result.status): \(result.errors)")
      #expect(result.output.contains("stopped after batch"))
      let again = try Command.Running(["train", data, "--out", model] + arguments).wait()
      #expect(again.status == 0 && again.errors.contains("going on after batch"))
      #expect(try Command.succeed("digest", model) == digest)
    }
  }
}
