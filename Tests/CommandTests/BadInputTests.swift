import Foundation
import Primitives
import TestSupport
import Testing

@Suite struct BadInputTests {
  private static let small = Command.configuration("dlrm-small.yaml")

  /// A log of 300 good lines, the files made of it, and what was there before.
  private func withFiles(_ body: (URL, (String) -> String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "300", "--rows", "1000")
      try Command.succeed("preprocess", path("log"), "--out", path("data"), "--batch-size", "50")
      try Command.succeed(
        "train", path("data"), "--out", path("model"), "--config", Self.small, "--memory", "16MiB")
      try body(directory, path)
    }
  }

  private static let brokenLogs:
    [(name: String, change: @Sendable (inout [String]) -> Void, says: [String])] = [
      (
        "39 fields",
        {
          $0[6] = $0[6].split(separator: "\t", omittingEmptySubsequences: false).dropLast().joined(
            separator: "\t")
        }, ["bad.tsv:7: ", "39"]
      ),
      (
        "a non-integer", { $0[41] = "0\t1x" + $0[41].drop { $0 != "\t" }.dropFirst().drop { $0 != "\t" } },
        ["bad.tsv:42: ", "1x"]
      ),
      ("a label of 2", { $0[2] = "2" + $0[2].dropFirst() }, ["bad.tsv:3: ", "label"]),
      ("a value that is not hexadecimal", { $0[0] += "zz" }, ["bad.tsv:1: ", "zz"]),
      ("nothing", { $0 = [] }, ["bad.tsv", "empty"]),
      (
        "random bytes",
        { lines in
          let random = CounterRandom(seed: 1, stream: 1)
          lines = [
            String(
              decoding: (0..<5000).map { UInt8(truncatingIfNeeded: random.bits(UInt64($0))) }, as: UTF8.self)
          ]
        }, ["bad.tsv:1: "]
      ),
    ]

  @Test(arguments: brokenLogs.indices)
  func aBrokenLogIsNamedWithItsLine(index: Int) throws {
    let (_, change, says) = Self.brokenLogs[index]
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "100", "--rows", "1000")
      var lines = try String(contentsOfFile: path("log"), encoding: .utf8).split(separator: "\n").map(
        String.init)
      change(&lines)
      let text = lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
      try Data(text.utf8).write(to: directory.appendingPathComponent("bad.tsv"))
      let before = try contents(of: directory)
      try Command.fail("preprocess", path("bad.tsv"), "--out", path("data"), saying: says)
      #expect(try contents(of: directory) == before)
    }
  }

  @Test func existingOutputsStayAsTheyAre() throws {
    try withFiles { directory, path in
      let before = try contents(of: directory)
      try Command.fail("generate", path("log"), saying: [path("log")])
      try Command.fail("preprocess", path("log"), "--out", path("data"), saying: [path("data")])
      try Command.fail("predict", path("model"), path("log"), "--out", path("log"), saying: [path("log")])
      try Command.fail(
        "train", path("data"), "--out", path("data"), "--config", Self.small, "--memory", "16MiB",
        saying: [path("data")])
      try Command.fail(
        "train", path("data"), "--out", path("log"), "--config", Self.small, "--memory", "16MiB",
        saying: [path("log")])
      #expect(try contents(of: directory) == before)
    }
  }

  /// LMDB data of another program looks like a model whose creation was interrupted, and must not be taken for one.
  @Test func dataOfAnotherProgramIsNotTouched() throws {
    try withFiles { directory, path in
      try FileManager.default.createDirectory(atPath: path("foreign"), withIntermediateDirectories: true)
      // An LMDB environment with something in it: a model whose database of records has another name.
      var data = try Data(contentsOf: directory.appendingPathComponent("model/data.mdb"))
      var from = data.startIndex
      while let found = data.range(of: Data("meta".utf8), in: from..<data.endIndex) {
        data.replaceSubrange(found, with: Data("mine".utf8))
        from = found.upperBound
      }
      try data.write(to: directory.appendingPathComponent("foreign/data.mdb"))
      let before = try contents(of: directory)
      let result = try Command.run(
        "train", path("data"), "--out", path("foreign"), "--config", Self.small, "--memory", "16MiB")
      #expect(result.status == 1 && result.errors.contains(path("foreign")), "\(result.errors)")
      #expect(try contents(of: directory) == before)
    }
  }

  @Test func aTrainingThatDivergesStops() throws {
    try withFiles { directory, path in
      try Command.fail(
        "train", path("data"), "--out", path("new"), "--config", Self.small, "--memory", "16MiB", "--set",
        "dense.learning_rate=1e30", "--set", "dense.optimizer=sgd", saying: ["diverged", "learning_rate"])
    }
  }

  @Test func modelsAndDatasetsThatDoNotBelongTogether() throws {
    try withFiles { directory, path in
      try Command.succeed("generate", path("other.log"), "--samples", "300", "--rows", "1000", "--seed", "2")
      try Command.succeed("preprocess", path("other.log"), "--out", path("other"), "--batch-size", "50")
      try Command.succeed("preprocess", path("log"), "--out", path("rebatched"), "--batch-size", "60")
      let model = try contents(of: directory.appendingPathComponent("model"))
      func train(_ data: String, _ more: String..., saying: [String]) throws {
        let arguments =
          ["train", path(data), "--out", path("model"), "--config", Self.small, "--memory", "16MiB"] + more
        let result = try Command.Running(arguments).wait()
        #expect(result.status == 1)
        for part in saying { #expect(result.errors.contains(part), "\(result.errors)") }
      }
      try train("other", saying: ["numbers its values in another way"])
      try train("rebatched", saying: ["batch size"])
      try train(
        "data", "--set", "dimension=8", "--set", "bottom=[64, 8]", saying: ["dimension is 8 now and was 16"])
      try train("data", "--seed", "2", saying: ["seed is 2 now and was 1"])
      try train("data", "--set", "rows.learning_rate=0.5", saying: ["rows.learning_rate is 0.5 now"])
      try Command.fail("evaluate", path("model"), path("other"), saying: ["another way"])
      #expect(try contents(of: directory.appendingPathComponent("model")) == model)
      // The same values in other batches can be scored.
      try Command.succeed("evaluate", path("model"), path("rebatched"))
    }
  }

  @Test func damagedDatasetsAreNamedWithTheirOffset() throws {
    try withFiles { directory, path in
      let segment = directory.appendingPathComponent("data/train-00000.batches")
      let good = try Data(contentsOf: segment)
      func train(saying: [String]) throws {
        try Command.fail(
          "train", path("data"), "--out", path("new"), "--config", Self.small, "--memory", "16MiB",
          saying: saying)
      }
      try good.prefix(good.count * 2 / 3).write(to: segment)
      try train(saying: ["train-00000.batches", "at byte", "truncated"])
      #expect(!FileManager.default.fileExists(atPath: path("new")))
      var flipped = good
      flipped[good.count / 3] ^= 4
      try flipped.write(to: segment)
      try train(saying: ["train-00000.batches", "at byte"])
      try good.write(to: segment)
      // What the failed run had committed is gone on with.
      try Command.succeed(
        "train", path("data"), "--out", path("new"), "--config", Self.small, "--memory", "16MiB")
      #expect(try Command.succeed("digest", path("new")) == Command.succeed("digest", path("model")))
    }
  }

  @Test func tooLittleMemoryNamesTheLeast() throws {
    try withFiles { directory, path in
      let result = try Command.run(
        "train", path("data"), "--out", path("new"), "--config", Self.small, "--memory", "1MiB")
      #expect(result.status == 1)
      let least = try #require(result.errors.firstMatch(of: /at least (\d+)MiB/))
      #expect(try #require(Int(least.1)) <= 32)
      #expect(!FileManager.default.fileExists(atPath: path("new")))
      try Command.succeed(
        "train", path("data"), "--out", path("new"), "--config", Self.small, "--memory", "\(least.1)MiB")
      #expect(try Command.succeed("digest", path("new")) == Command.succeed("digest", path("model")))
    }
  }

  @Test(arguments: [
    ("colour: red\n", ["bad.yaml:1: ", "colour", "unknown key"]),
    ("seed: 1\ndimension: many\n", ["bad.yaml:2: ", "dimension"]),
    ("rows:\n  optimizer: lamb\n", ["bad.yaml:2: ", "rows.optimizer", "rowwise_adagrad"]),
    ("rows:\n  learning_rate: -1\n", ["bad.yaml:2: ", "rows.learning_rate"]),
    ("bottom: [64, 8]\n", ["bottom", "16"]),
    ("seed: 1\nseed: 2\n", ["bad.yaml", "seed"]),
    ("a: [1\n", ["bad.yaml"]),
    ("- 1\n", ["bad.yaml"]),
  ])
  func brokenConfigurations(text: String, says: [String]) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "100", "--rows", "1000")
      try Command.succeed("preprocess", path("log"), "--out", path("data"))
      try Data(text.utf8).write(to: directory.appendingPathComponent("bad.yaml"))
      try Command.fail(
        "train", path("data"), "--out", path("model"), "--config", path("bad.yaml"), "--memory", "64MiB",
        saying: says)
      #expect(!FileManager.default.fileExists(atPath: path("model")))
    }
  }

  @Test(arguments: [
    [], ["train"], ["train", "data"], ["train", "data", "--out", "model", "--config", "c.yaml"],
    ["train", "data", "--out", "m", "--config", "c.yaml", "--memory", "4XB"],
    ["train", "data", "--out", "m", "--config", "c.yaml", "--memory", "1GiB", "--policy", "best"],
    ["train", "data", "--out", "m", "--config", "c.yaml", "--memory", "1GiB", "--set", "seed"],
    ["preprocess", "--out", "x"], ["preprocess", "a", "--out", "x", "--batch-size", "0"],
    ["preprocess", "a", "--out", "x", "--holdout", "1"], ["generate", "x", "--samples", "none"],
    ["evaluate", "m", "d", "--split", "test"], ["evaluate", "m", "d", "--format", "xml"], ["digest"], ["fly"],
    ["verify", "d", "--config", "c.yaml", "--batches", "0"],
    ["train", "d", "--out", "m", "--memory", "1GiB", "--epochs", "0"],
    ["train", "d", "--out", "m", "--memory", "1GiB", "--threads", "999"],
    ["train", "d", "--out", "m", "--memory", "1GiB", "--lookahead", "5000"],
    ["evaluate", "m", "d", "--threads=-3"],
  ])
  func wrongUsageExitsWith64(arguments: [String]) throws {
    let result = try Command.Running(arguments).wait()
    // Without a subcommand the help is shown, as for --help.
    #expect(result.status == (arguments.isEmpty ? 0 : 64), "\(result.errors)")
  }

  @Test(arguments: ["train", "evaluate", "digest", "predict"])
  func missingFilesAreNamed(command: String) throws {
    try withTemporaryDirectory { directory in
      let nothing = directory.appendingPathComponent("nothing").path
      switch command {
      case "train":
        try Command.fail(
          command, nothing, "--out", nothing + "2", "--config", Self.small, "--memory", "1GiB",
          saying: [nothing])
      case "digest": try Command.fail(command, nothing, saying: [nothing])
      default: try Command.fail(command, nothing, nothing, saying: [nothing])
      }
      #expect(try contents(of: directory).isEmpty)
    }
  }
}
