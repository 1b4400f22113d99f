import Foundation
import TestSupport
import Testing

/// Models taken out of Chanter, and into new models.
@Suite struct ExportCommandTests {
  /// One table as `export` writes it: raw value, or `#row` where there is none, to the bytes of its weights.
  private func rows(_ directory: String, _ table: String, dimension: Int) throws -> [String: Data] {
    let matrix = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(table).npy"))
    let lines = try String(contentsOfFile: "\(directory)/\(table).values.tsv", encoding: .utf8)
      .split(separator: "\n", omittingEmptySubsequences: true)
    #expect(matrix.count == 128 + lines.count * dimension * 4)
    var result: [String: Data] = [:]
    for (index, line) in lines.enumerated() {
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
      let name = parts[1].isEmpty ? "#\(parts[0])" : String(parts[1])
      let start = 128 + index * dimension * 4
      #expect(result.updateValue(matrix.subdata(in: start..<start + dimension * 4), forKey: name) == nil)
    }
    return result
  }

  private func withModel(_ body: (_ path: (String) -> String, _ settings: [String]) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed(
        "generate", path("first.tsv"), "--samples", "1500", "--rows", "9000", "--seed", "5")
      // The end of the first log backwards: other row numbers, and fewer values.
      let lines = try String(contentsOfFile: path("first.tsv"), encoding: .utf8).split(separator: "\n")
      try (lines.reversed().prefix(900).joined(separator: "\n") + "\n").write(
        toFile: path("second.tsv"), atomically: false, encoding: .utf8)
      for name in ["first", "second"] {
        try Command.succeed("preprocess", path("\(name).tsv"), "--out", path(name), "--batch-size", "64")
      }
      let settings = [
        "--config", Command.configuration("dlrm-small.yaml"), "--set", "bottom=[8, 16]", "--set",
        "top=[8, 1]",
        "--memory", "32MiB",
      ]
      let trained = try Command.Running(
        ["train", path("first"), "--out", path("model")] + settings
      ).wait()
      #expect(trained.status == 0, "\(trained.errors)")
      try body(path, settings)
    }
  }

  @Test func exportedRowsAreThoseOfTheModel() throws {
    try withModel { path, _ in
      let result = try Command.json(
        Command.succeed(
          "export", path("model"), "--table", "C3", "--table", "C26", "--out", path("out"), "--format", "json"
        ))
      #expect(result["batches"]?.number == 22)
      let names = try FileManager.default.contentsOfDirectory(atPath: path("out")).sorted()
      #expect(
        names == ["C26.npy", "C26.values.tsv", "C3.npy", "C3.values.tsv", "dense.safetensors"])
      let exported = try rows(path("out"), "C26", dimension: 16)
      #expect(exported.count > 60 && exported["#0"] == nil)
      for (value, bytes) in exported.filter({ !$0.key.hasPrefix("#") }).sorted(by: { $0.key < $1.key })
        .prefix(3)
      {
        let shown = try Command.succeed(
          "inspect", path("model"), "--table", "C26", "--value", value, "--format", "json")
        let object = try #require(
          try JSONSerialization.jsonObject(with: Data(shown.utf8)) as? [String: Any])
        let weights = try #require(object["weights"] as? [Double]).map(Float.init)
        #expect(bytes == weights.withUnsafeBytes { Data($0) })
      }
      try Command.fail(
        "export", path("model"), "--table", "C99", "--out", path("other"), saying: ["no table C99", "C1, C2"])
      try Command.fail("export", path("model"), "--out", path("out"), saying: ["exists"])
      #expect(!FileManager.default.fileExists(atPath: path("other")))
    }
  }

  /// With the rows hardly moved, what a new model has of the values of the other one is what that one had.
  @Test func aWarmStartTakesRowsByRawValue() throws {
    try withModel { path, settings in
      let still = ["--set", "rows.optimizer=sgd", "--set", "rows.learning_rate=1e-30", "--max-batches", "1"]
      let run = try Command.Running(
        ["train", path("second"), "--out", path("warm"), "--from", path("model")] + settings + still
      ).wait()
      #expect(run.status == 0, "\(run.errors)")
      #expect(
        run.errors.contains("begun with a model of 22 batches") && run.errors.contains("parameters: taken"))
      try Command.succeed("export", path("model"), "--table", "C26", "--out", path("a"))
      try Command.succeed("export", path("warm"), "--table", "C26", "--out", path("b"))
      let before = try rows(path("a"), "C26", dimension: 16)
      let after = try rows(path("b"), "C26", dimension: 16)
      let shared = after.keys.filter { before[$0] != nil }
      #expect(shared.count > 10 && shared.count < before.count)
      for value in shared { #expect(after[value] == before[value]) }

      // The same from a plain run and after a kill in the middle of the warm start or of training.
      func train(_ model: String, _ more: String...) throws -> Command.Running {
        try Command.Running(
          ["train", path("second"), "--out", path(model), "--from", path("model")] + settings + more)
      }
      #expect(try train("plain", "--in-memory").wait().status == 0)
      for delay in [0.05, 0.15, 0.3] {
        let run = try train("killed")
        Thread.sleep(forTimeInterval: delay)
        if run.process.isRunning { kill(run.process.processIdentifier, SIGKILL) }
        _ = try run.wait()
      }
      let last = try train("killed").wait()
      #expect(last.status == 0, "\(last.errors)")
      #expect(try Command.succeed("digest", path("killed")) == Command.succeed("digest", path("plain")))

      let planned = try Command.json(
        Command.succeed(
          "plan", path("second"), "--from", path("model"), "--config", settings[1], "--set", settings[3],
          "--set",
          settings[5], "--memory", "32MiB", "--format", "json"))
      let counted = try Command.json(try train("counted", "--format", "json").wait().output)
      #expect(planned["initial_rows"]?.number == 0 && counted["initial_rows"]?.number == 0)
      for key in ["fetches", "blocks_read", "commits"] {
        let name = key == "fetches" ? "fetched_rows" : key
        #expect(planned[key]?.number == counted[name]?.number)
      }
    }
  }

  @Test func valuesWithTabsAndBackslashesStayOnTheirLine() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try ("clicked,name\n" + String(repeating: "1,a\tb\n0,c\\td\n", count: 40)).write(
        toFile: path("log.csv"), atomically: false, encoding: .utf8)
      try """
      separator: ","
      header: true
      columns:
        - name: clicked
          type: label
        - name: name
          type: categorical

      """.write(toFile: path("log.yaml"), atomically: false, encoding: .utf8)
      try Command.succeed(
        "preprocess", path("log.csv"), "--schema", path("log.yaml"), "--out", path("data"), "--batch-size",
        "8")
      try Command.succeed(
        "train", path("data"), "--out", path("model"), "--config", Command.configuration("lr.yaml"),
        "--memory",
        "32MiB")
      try Command.succeed("export", path("model"), "--out", path("out"))
      let text = try String(contentsOfFile: path("out/name.values.tsv"), encoding: .utf8)
      #expect(text == "2\ta\\tb\n3\tc\\\\td\n")
    }
  }

  /// Rows 0 and 1 come along even where a table has no values at all.
  @Test func aWarmStartTakesTheRowsOfNoValue() throws {
    try withModel { path, settings in
      for (name, source, count) in [("some", "first", "3"), ("none", "second", "100000")] {
        try Command.succeed(
          "preprocess", path("\(source).tsv"), "--out", path(name), "--batch-size", "64", "--min-count", count
        )
      }
      let source = try Command.Running(["train", path("some"), "--out", path("a")] + settings).wait()
      #expect(source.status == 0, "\(source.errors)")
      let warm = try Command.Running(
        [
          "train", path("none"), "--out", path("b"), "--from", path("a"), "--set", "rows.optimizer=sgd",
          "--set",
          "rows.learning_rate=1e-30", "--max-batches", "1",
        ] + settings
      ).wait()
      #expect(warm.status == 0, "\(warm.errors)")
      var exported: [[String: Data]] = []
      for model in ["a", "b"] {
        try Command.succeed("export", path(model), "--table", "C26", "--out", path("of-\(model)"))
        exported.append(try rows(path("of-\(model)"), "C26", dimension: 16))
      }
      let expected = try #require(exported[0]["#0"])
      #expect(exported[1]["#0"] == expected && exported[1].keys.allSatisfy { $0.hasPrefix("#") })
    }
  }

  /// Rows of one length in the store, of which a table with shorter vectors uses a part.
  @Test func weightsOfATableAreThoseThatItHas() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log.tsv"), "--samples", "300", "--rows", "2000")
      try Command.succeed("preprocess", path("log.tsv"), "--out", path("data"), "--batch-size", "64")
      func train(_ model: String, _ settings: String...) -> [String] {
        ["train", path("data"), "--out", path(model), "--memory", "64MiB"]
          + (["hidden=[8]"] + settings).flatMap { ["--set", $0] }
      }
      let run = try Command.Running(
        train("wide", "model=wide_deep", "dimension=8", "dimensions.C3=4", "rows.learning_rate=0.1")
      ).wait()
      #expect(run.status == 0, "\(run.errors)")
      try Command.succeed("export", path("wide"), "--table", "C3", "--table", "C26", "--out", path("out"))
      #expect(try rows(path("out"), "C26", dimension: 9).count > 3)
      let short = try rows(path("out"), "C3", dimension: 5)
      let (value, bytes) = try #require(
        short.filter { !$0.key.hasPrefix("#") }.min { $0.key < $1.key })
      let shown = try Command.succeed(
        "inspect", path("wide"), "--table", "C3", "--value", value, "--format", "json")
      let object = try #require(try JSONSerialization.jsonObject(with: Data(shown.utf8)) as? [String: Any])
      let weights = try #require(object["weights"] as? [Double]).map(Float.init)
      #expect(bytes == weights.prefix(5).withUnsafeBytes { Data($0) })
      #expect(weights.count == 9 && weights[4] != 0 && weights[5...].allSatisfy { $0 == 0 })

      // Nine weights a row there and here, but not the same ones.
      for (name, settings, says) in [
        (
          "deep", ["model=mlp", "dimension=9"], "table C1 have 9 weights, the last one of first order in this"
        ),
        (
          "even", ["model=wide_deep", "dimension=8"],
          "table C3 have 5 weights, the last one of first order in"
        ),
      ] {
        let command = train(name) + settings.flatMap { ["--set", $0] } + ["--from", path("wide")]
        let refused = try Command.Running(command).wait()
        #expect(refused.status == 1 && refused.errors.contains(says), "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: path(name)))
      }
    }
  }

  @Test func whatDoesNotFitIsSaid() throws {
    try withModel { path, settings in
      try Command.fail(
        "train", path("second"), "--out", path("wide"), "--from", path("model"), "--memory", "32MiB", "--set",
        "bottom=[8, 8]", "--set", "dimension=8", saying: ["16 weights", "8", "same dimension"])
      #expect(!FileManager.default.fileExists(atPath: path("wide")))
      try Command.succeed(
        "preprocess", path("second.tsv"), "--out", path("hashed"), "--batch-size", "64", "--hash-rows", "500")
      try Command.fail(
        "train", path("hashed"), "--out", path("wide"), "--from", path("model"), "--config", settings[1],
        "--set",
        settings[3], "--set", settings[5], "--memory", "32MiB", saying: ["are hashed", "--from"])
      #expect(!FileManager.default.fileExists(atPath: path("wide")))
      // Another dataset's vocabulary beside the model would match the wrong rows.
      try Command.succeed("copy", path("model"), path("swapped"))
      try FileManager.default.removeItem(atPath: path("swapped/vocabulary.values"))
      try FileManager.default.copyItem(
        atPath: path("second/vocabulary.values"), toPath: path("swapped/vocabulary.values"))
      try Command.fail(
        "train", path("second"), "--out", path("wide"), "--from", path("swapped"), "--config", settings[1],
        "--set", settings[3], "--set", settings[5], "--memory", "32MiB", saying: ["belongs to another model"])
      #expect(!FileManager.default.fileExists(atPath: path("wide")))
      let train = ["train", path("first"), "--out", path("model")] + settings
      let less = try Command.Running(train + ["--max-batches", "5"]).wait()
      #expect(less.status == 1 && less.errors.contains("give --max-batches 22 or more"), "\(less.errors)")
      let same = try Command.Running(train + ["--max-batches", "22"]).wait()
      #expect(
        same.status == 0 && same.output.contains("give --max-batches 23 and --epochs 2 or more to go on"),
        "\(same.output)")
      let other = try Command.Running(
        ["train", path("second"), "--out", path("deep"), "--from", path("model"), "--max-batches", "2"]
          + settings
          + ["--set", "top=[9, 1]"]
      ).wait()
      #expect(other.status == 0 && other.errors.contains("dense parameters: fresh, since"), "\(other.errors)")
      try Command.fail(
        "train", path("first"), "--out", path("model"), "--from", path("deep"), "--config", settings[1],
        "--set",
        settings[3], "--set", settings[5], "--memory", "32MiB", saying: ["did not begin with another"])
    }
  }

  /// Where Python has both packages: PyTorch loads the tensors, and NumPy the rows.
  @Test func pyTorchLoadsTheExport() throws {
    try withModel { path, _ in
      try Command.succeed("export", path("model"), "--out", path("out"))
      let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("tools/fixtures/check_export.py")
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["python3", script.path, path("out")]
      let output = Pipe()
      process.standardOutput = output
      try process.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      if process.terminationStatus == 77 {
        print("skipped: \(text)")
        return
      }
      #expect(process.terminationStatus == 0 && text.contains("26 tables"), "\(text)")
    }
  }
}
