import Foundation
import TestSupport
import Testing

@Suite struct RebatchCommandTests {
  /// The row numbers stay, so a model knows the rows of the new dataset.
  @Test func aModelScoresTheSameInOtherBatches() throws {
    try TrainedModel.with(samples: 3000, batchSize: 128, epochs: 1) { trained in
      let made = try Command.json(
        Command.succeed(
          "rebatch", trained.path("data"), "--out", trained.path("other"), "--batch-size", "50", "--shuffle",
          "3", "--memory", "256MiB", "--format", "json"))
      #expect(made["train_samples"]?.number == 2700 && made["train_batches"]?.number == 54)
      #expect(made["holdout_samples"]?.number == 300 && made["holdout_batches"]?.number == 6)
      for key in ["bytes", "batch_size"] { #expect(made[key]?.number != nil, "\(key)") }
      for key in ["vocabulary", "batching"] { #expect(made[key]?.text?.count == 32, "\(key)") }
      func predictions(_ data: String) throws -> String {
        try Command.succeed("predict", trained.path("plain"), trained.path(data), "--split", "holdout")
      }
      #expect(try predictions("other") == predictions("data"))
      func measures(_ data: String) throws -> [String: JSONValue] {
        try Command.json(
          Command.succeed("evaluate", trained.path("plain"), trained.path(data), "--format", "json"))
      }
      let (old, new) = (try measures("data"), try measures("other"))
      for key in ["samples", "auc", "log_loss", "normalized_entropy", "calibration"] {
        #expect(old[key]?.number != nil && old[key]?.number == new[key]?.number, "\(key)")
      }
      // Training goes on with the batches that it began with and no others; a new one begins anywhere.
      let refused = try Command.Running(
        ["train", trained.path("other"), "--out", trained.path("plain"), "--in-memory"] + trained.settings
      ).wait()
      #expect(refused.status == 1 && refused.errors.contains("batch size"), "\(refused.errors)")
      let fresh = try Command.Running(
        ["train", trained.path("other"), "--out", trained.path("fresh"), "--memory", "13MiB"]
          + trained.settings
      ).wait()
      #expect(fresh.status == 0, "\(fresh.errors)")
      try Command.fail(
        "rebatch", trained.path("data"), "--out", trained.path("other"), "--batch-size", "50",
        saying: ["the output exists", trained.path("other")])
    }
  }

  /// In the order of time with new numbers: what preprocessing makes with that order, which no older model knows.
  @Test func newNumbersInTheOrderOfTime() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let lines = (0..<300).map { number -> String in
        let second = number * 7919 % 300
        let time = "2014-10-21T05:\(10 + second / 60):\(10 + second % 50).5Z"
        return "\(number % 3 == 0 ? 1 : 0),\(time),v\(number * 31 % 53)"
      }
      try (["y,t,c"] + lines).joined(separator: "\n").write(
        toFile: path("log"), atomically: true, encoding: .utf8)
      for order in ["file", "time"] {
        try """
        order: \(order)
        columns:
          - { name: y, type: label }
          - { name: t, type: time, format: iso8601 }
          - { name: c, type: categorical }
        """.write(toFile: path(order + ".yaml"), atomically: true, encoding: .utf8)
        try Command.succeed(
          "preprocess", path("log"), "--schema", path(order + ".yaml"), "--out", path(order), "--batch-size",
          order == "file" ? "64" : "50", "--holdout", "0")
      }
      let made = try Command.json(
        Command.succeed(
          "rebatch", path("file"), "--out", path("new"), "--batch-size", "50", "--by-time", "--renumber",
          "--format", "json"))
      let time = try Command.json(Command.succeed("inspect", path("time"), "--format", "json"))
      let file = try Command.json(Command.succeed("inspect", path("file"), "--format", "json"))
      #expect(made["vocabulary"]?.text != nil && made["vocabulary"]?.text == time["vocabulary"]?.text)
      #expect(made["batching"]?.text != nil && made["batching"]?.text == time["batching"]?.text)
      #expect(made["vocabulary"]?.text != file["vocabulary"]?.text)
      for name in ["train-00000.batches", "vocabulary.values"] {
        #expect(
          FileManager.default.contentsEqual(
            atPath: path("new") + "/" + name, andPath: path("time") + "/" + name))
      }
      let sample = try Command.succeed("inspect", path("new"), "--sample", "0")
      #expect(sample.contains("2014-10-21T05:10:10.5Z (1413868210500000)"), "\(sample)")
      let number = try Command.json(
        Command.succeed("inspect", path("new"), "--sample", "0", "--format", "json"))
      #expect(number["time"]?.number == 1_413_868_210_500_000)
    }
  }

  @Test(arguments: [
    ["rebatch", "data"], ["rebatch", "data", "--out", "x"],
    ["rebatch", "data", "--out", "x", "--batch-size", "0"],
    ["rebatch", "data", "--out", "x", "--batch-size", "65537"],
    ["rebatch", "data", "--out", "x", "--batch-size", "64", "--shuffle", "-1"],
    ["rebatch", "data", "--out", "x", "--batch-size", "64", "--by-time", "--shuffle", "1"],
    ["rebatch", "data", "--out", "x", "--batch-size", "64", "--threads", "0"],
    ["rebatch", "data", "--out", "x", "--batch-size", "64", "--memory", "little"],
  ])
  func wrongUsageExitsWith64(arguments: [String]) throws {
    #expect(try Command.Running(arguments).wait().status == 64)
  }

  @Test(.enabled(if: SmallDisk.isPermitted, "mounting a small file system is not permitted here"))
  func aFullDiskLeavesNothing() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "2000", "--rows", "4000", "--seed", "5")
      try Command.succeed("preprocess", path("log"), "--out", path("data"), "--batch-size", "64")
      try SmallDisk.with(kibibytes: 8) { disk, resize in
        let output = disk.appendingPathComponent("data").path
        var failures = 0
        for kibibytes in [8, 40, 80, 120, 160, 200] {
          try resize(kibibytes)
          let result = try Command.run(
            "rebatch", path("data"), "--out", output, "--batch-size", "16", "--shuffle", "1")
          if result.status == 0 { break }
          failures += 1
          #expect(
            result.status == 1 && !result.wasKilled && result.errors.contains("o space left"),
            "\(kibibytes) KiB: \(result.errors)")
          #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
        }
        #expect(failures > 1)
        try? FileManager.default.removeItem(atPath: output)
        try resize(8000)
        try Command.succeed("rebatch", path("data"), "--out", output, "--batch-size", "16", "--shuffle", "1")
        try Command.succeed(
          "rebatch", path("data"), "--out", path("roomy"), "--batch-size", "16", "--shuffle", "1")
        #expect(
          try contents(of: URL(fileURLWithPath: output)) == contents(of: URL(fileURLWithPath: path("roomy"))))
      }
    }
  }
}
