import Foundation
import Primitives
import TestSupport
import Testing

/// Validation, early stopping and the best model, seen through the commands.
@Suite struct ValidationCommandTests {
  private func withDataset(
    _ body: (_ path: (String) -> String, _ train: (String, [String]) throws -> Command.Running) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed(
        "generate", path("log"), "--samples", "4000", "--rows", "4000", "--seed", "5")
      try Command.succeed(
        "preprocess", path("log"), "--out", path("data"), "--batch-size", "32", "--valid-share", "0.1")
      try body(
        path,
        { model, more in
          try Command.Running(
            [
              "train", path("data"), "--out", path(model), "--config",
              Command.configuration("dlrm-small.yaml"), "--set", "bottom=[16, 16]", "--set", "top=[16, 1]",
              "--lookahead", "8",
            ] + more)
        })
    }
  }

  /// The lines of a model's metrics without what the clock says.
  private func records(_ model: String) throws -> [String] {
    try String(contentsOfFile: "\(model)/metrics.jsonl", encoding: .utf8).split(separator: "\n").map { line in
      var object = try #require(
        try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      #expect(object.removeValue(forKey: "not_part_of_the_model") != nil)
      let data = try JSONSerialization.data(withJSONObject: object, options: .sortedKeys)
      return String(decoding: data, as: UTF8.self)
    }
  }

  @Test func killsChangeNeitherBytesNorDecisions() throws {
    try withDataset { path, train in
      let control = [
        "--valid-every", "7", "--patience", "5", "--epochs", "4", "--keep-best", "--set",
        "schedule.type=plateau", "--set", "schedule.patience=2",
      ]
      let start = ContinuousClock.now
      let whole = try train("whole", control + ["--in-memory"]).wait()
      let duration = (ContinuousClock.now - start) / .seconds(1)
      #expect(whole.status == 0 && whole.errors.contains("validation at batch 7: AUC"), "\(whole.errors)")
      #expect(whole.errors.contains("copied to \(path("whole"))/best"))
      let expected = try records(path("whole"))
      let random = CounterRandom(seed: UInt64(Date().timeIntervalSince1970), stream: 4)
      var kills = 0
      var status: Int32 = 1
      for attempt in 0..<200 as Range<UInt64> {
        let run = try train("killed", control + ["--memory", "24MiB"])
        if kills < 12 {
          Thread.sleep(forTimeInterval: duration * random.uniform(attempt))
          if run.process.isRunning { kill(run.process.processIdentifier, SIGKILL) }
        }
        let result = try run.wait()
        if result.wasKilled {
          kills += 1
          continue
        }
        #expect(result.status == 0, "\(result.errors)")
        if kills == 0 {
          // It was faster than the first kill: once more from the beginning.
          try FileManager.default.removeItem(atPath: path("killed"))
          continue
        }
        status = result.status
        break
      }
      #expect(status == 0 && kills > 0)
      #expect(try records(path("killed")) == expected)
      for model in ["", "/best"] {
        #expect(
          try Command.succeed("digest", path("killed") + model)
            == Command.succeed("digest", path("whole") + model))
      }
      let again = try train("killed", control + ["--memory", "24MiB"]).wait()
      #expect(again.status == 0 && again.output.contains("stopped early"), "\(again.output)")
      // What steered the run is part of the model.
      let other = try train("killed", ["--valid-every", "8", "--memory", "24MiB"]).wait()
      #expect(
        other.status == 1 && other.errors.contains("valid_every is 8 batches now and was 7 batches"),
        "\(other.errors)")
    }
  }

  @Test func groupedMetricsAndNegativeRates() throws {
    try withDataset { path, train in
      let run = try train(
        "model", ["--memory", "24MiB", "--negative-rate", "0.25", "--valid-every", "epoch", "--group", "C1"]
      ).wait()
      #expect(run.status == 0 && run.errors.contains("grouped AUC"), "\(run.errors)")
      let plain = try train("plain", ["--memory", "24MiB"]).wait()
      #expect(plain.status == 0)
      let corrected = try Command.json(
        Command.succeed(
          "evaluate", path("model"), path("data"), "--group", "C1", "--format", "json"))
      let sampled = try Command.json(
        Command.succeed("evaluate", path("plain"), path("data"), "--format", "json"))
      #expect(corrected["grouped_auc"]?.number ?? 0 > 0 && corrected["accuracy"]?.number ?? 0 > 0.5)
      // Rarer positives: p / (p + 4 (1 - p)).
      let calibration = try #require(corrected["calibration"]?.number)
      #expect(calibration < 0.6 * (sampled["calibration"]?.number ?? 0))
      let scores = try ["model", "plain"].map { model in
        try Command.succeed("predict", path(model), path("data"), "--split", "holdout")
          .split(separator: "\n").compactMap { Float($0) }
      }
      #expect(scores[0].count == 400)
      for (corrected, sampled) in zip(scores[0], scores[1]) {
        #expect(corrected == sampled / (sampled + (1 - sampled) / 0.25))
      }
      try Command.fail(
        "evaluate", path("model"), path("data"), "--group", "C99", saying: ["--group: `C99`", "C1, C2"])
    }
  }

  @Test func wrongSettingsAreUsageErrorsOrNameTheirLine() throws {
    try withDataset { path, _ in
      for arguments in [
        ["--valid-every", "0"], ["--patience", "-1"], ["--negative-rate", "2"], ["--metric", "auk"],
      ] {
        let run = try Command.Running(
          ["train", path("data"), "--out", path("m"), "--memory", "24MiB"] + arguments
        )
        .wait()
        #expect(run.status == 64, "\(run.errors)")
      }
      try Command.fail(
        "train", path("data"), "--out", path("m"), "--memory", "24MiB", "--valid-every", "epoch", "--group",
        "it's \"one\"", saying: ["group: `it's \"one\"` is not a categorical feature"])
      let file = path("bad.yaml")
      try "schedule:\n  type: cosine\n  factor: 0.5\n".write(toFile: file, atomically: false, encoding: .utf8)
      try Command.fail(
        "train", path("data"), "--out", path("m"), "--memory", "24MiB", "--config", file,
        saying: ["bad.yaml:3", "schedule.factor", "decay_batches"])
    }
  }
}
