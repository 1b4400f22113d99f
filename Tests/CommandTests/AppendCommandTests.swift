import Foundation
import TestSupport
import Testing

@Suite struct AppendCommandTests {
  /// One day of clicks, then another: the model that goes on is the one that had both from the start.
  @Test func trainingGoesOnWithTheNextDay() throws {
    try TrainedModel.with(samples: 3000, batchSize: 128, epochs: 1) { trained in
      func path(_ name: String) -> String { trained.path(name) }
      try Command.succeed(
        "generate", path("day-2"), "--samples", "2000", "--rows", "6000", "--seed", "6")
      let made = try Command.json(
        Command.succeed(
          "preprocess", path("day-2"), "--append", path("data"), "--out", path("both"), "--format", "json"))
      #expect(made["parts"]?.number == 2 && made["train_samples"]?.number == 2700 + 1800)
      #expect(made["train_batches"]?.number == 37)
      func train(_ data: String, _ model: String, _ memory: [String]) throws {
        let result = try Command.Running(
          ["train", path(data), "--out", path(model)] + memory + trained.settings
        ).wait()
        #expect(result.status == 0, "\(result.errors)")
      }
      try Command.succeed("copy", path("plain"), path("old"))
      try train("data", "model", ["--memory", "13MiB"])
      try train("both", "model", ["--memory", "16MiB"])
      try train("both", "fresh", ["--in-memory"])
      let digest = try Command.succeed("digest", path("fresh"))
      #expect(try Command.succeed("digest", path("model")) == digest)
      try train("both", "plain", ["--in-memory"])
      #expect(try Command.succeed("digest", path("plain")) == digest)

      // Raw values and rows say the same, to the model that went on and to one that did not.
      for model in ["model", "old"] {
        let rows = try Command.succeed("predict", path(model), path("both"), "--split", "train")
        let raw = try Command.succeed("predict", path(model), path("day-2"))
        let newRows = rows.split(separator: "\n").dropFirst(2700).prefix(1800)
        #expect(
          newRows.count == 1800 && raw.split(separator: "\n").prefix(1800).elementsEqual(newRows), "\(model)")
      }
      // Other batches of both days are known to both models, and so is what follows them; new numbers are to neither.
      try Command.succeed("rebatch", path("both"), "--out", path("other"), "--batch-size", "90")
      try Command.succeed("generate", path("day-3"), "--samples", "300", "--rows", "6000", "--seed", "7")
      try Command.succeed("preprocess", path("day-3"), "--append", path("other"), "--out", path("three"))
      try Command.succeed(
        "rebatch", path("both"), "--out", path("anew"), "--batch-size", "90", "--renumber")
      for model in ["model", "old"] {
        let known = try Command.succeed("predict", path(model), path("both"), "--split", "holdout")
        #expect(try Command.succeed("predict", path(model), path("other"), "--split", "holdout") == known)
        #expect(
          try Command.succeed("predict", path(model), path("three"), "--split", "holdout").hasPrefix(known))
        try Command.fail("evaluate", path(model), path("anew"), saying: ["numbers its values in another way"])
      }
      try Command.succeed("evaluate", path("model"), path("data"))
      try Command.succeed("check", path("model"))
      #expect(try Command.succeed("inspect", path("both")).contains("parts: samples that each added"))
      #expect(try Command.succeed("inspect", path("both"), "--sample", "4499").contains("(train)"))
      let plan = try Command.Running(["plan", path("both"), "--memory", "16MiB"] + trained.settings).wait()
      #expect(plan.status == 0, "\(plan.errors)")
      try Command.fail(
        "preprocess", path("day-2"), "--append", path("data"), "--out", path("x"), "--batch-size", "64",
        saying: ["--batch-size is 128", path("data")])
      try Command.fail(
        "preprocess", path("day-2"), "--append", path("data"), "--out", path("data"),
        saying: ["give --out another path"])
      try Command.fail(
        "preprocess", path("day-2"), "--append", path("data"), "--schema", "avazu", "--out", path("x"),
        saying: ["another schema"])
    }
  }

  @Test func aShortRunVerifiesOnBothParts() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      for day in 1...2 {
        try Command.succeed(
          "generate", path("day-\(day)"), "--samples", "90", "--rows", "3000", "--seed", "\(day)")
      }
      try Command.succeed("preprocess", path("day-1"), "--out", path("one"), "--batch-size", "16")
      try Command.succeed("preprocess", path("day-2"), "--append", path("one"), "--out", path("two"))
      try Command.succeed(
        "verify", path("two"), "--config", Command.configuration("dlrm-small.yaml"), "--set",
        "bottom=[16, 16]",
        "--set", "top=[16, 1]", "--batches", "14")
      #expect(
        try Command.Running([
          "preprocess", path("day-2"), "--append", path("one"), "--out", "x", "--thresholds",
        ])
        .wait().status == 64)
    }
  }
}
