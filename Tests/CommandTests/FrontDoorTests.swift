import Foundation
import TestSupport
import Testing

/// What plan and inspect print, held against what train and the log say.
@Suite struct FrontDoorTests {
  private static let configuration = Command.configuration("dlrm-small.yaml")

  private func withDataset(
    samples: Int, batchSize: Int = 64, _ body: ((String) -> String) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "\(samples)", "--rows", "4000")
      try Command.succeed("preprocess", path("log"), "--out", path("data"), "--batch-size", "\(batchSize)")
      try body(path)
    }
  }

  @Test func planForetellsTheCountersOfTrain() throws {
    try withDataset(samples: 3000) { path in
      let arguments = ["--config", Self.configuration, "--memory", "11MiB", "--epochs", "2"]
      let planning = try Command.Running(["plan", path("data"), "--format", "json", "--compare"] + arguments)
        .wait()
      #expect(planning.status == 0, "\(planning.errors)")
      let plan = try Command.json(planning.output)
      let training = try Command.Running(
        ["train", path("data"), "--out", path("model"), "--format", "json"] + arguments
      ).wait()
      #expect(training.status == 0, "\(training.errors)")
      let run = try Command.json(training.output)
      let pairs = [
        ("fetches", "fetched_rows"), ("overlay_rows", "overlay_rows"), ("initial_rows", "initial_rows"),
        ("evictions", "evicted_rows"), ("blocks_read", "blocks_read"), ("bytes_written", "bytes_written"),
        ("commits", "commits"), ("compactions", "compactions"), ("hit_rate", "hit_rate"),
        ("batches", "batch"), ("samples", "samples"),
      ]
      for (planned, counted) in pairs {
        #expect(plan[planned]?.number != nil && plan[planned]?.number == run[counted]?.number, "\(planned)")
      }

      struct Budgets: Decodable {
        struct Entry: Decodable {
          let share: Double
          let memory: Int
          let policy: String
        }
        let minimumMemory: Int
        let budgets: [Entry]
        let alternatives: [Entry]
      }
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      let table = try decoder.decode(Budgets.self, from: Data(planning.output.utf8))
      #expect(table.budgets.count % 3 == 0 && table.alternatives.map(\.policy) == ["window", "lru"])
      #expect(table.budgets.allSatisfy { $0.memory >= table.minimumMemory && $0.share <= 1 })
      #expect(table.budgets.last?.share == 1 && table.budgets[0].share < 1)
      try Command.fail(
        "plan", path("data"), "--config", Self.configuration, "--memory", "\(table.minimumMemory - 1)",
        saying: ["too small"])
      try Command.succeed(
        "plan", path("data"), "--config", Self.configuration, "--memory", "\(table.minimumMemory)")
    }
  }

  @Test func exportGivesTheLogBack() throws {
    try withDataset(samples: 400) { path in
      let log = try String(contentsOfFile: path("log"), encoding: .utf8).split(separator: "\n")
      let csv = try Command.succeed("inspect", path("data"), "--export", "0..400").split(separator: "\n")
      #expect(csv.count == 401)
      #expect(csv[0].hasPrefix("sample,split,label,dense_1,") && csv[0].hasSuffix(",C25,C26"))
      for (number, line) in log.enumerated() {
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
        let exported = csv[number + 1].split(separator: ",", omittingEmptySubsequences: false)
        #expect(exported[0] == "\(number)" && exported[1] == (number < 360 ? "train" : "holdout"))
        #expect(exported[2] == fields[0])
        for column in 0..<26 {
          let value = exported[16 + column]
          // What the training part never had has no row of its own.
          #expect(value == fields[14 + column] || (number >= 360 && value == "#0"))
        }
      }
      let part = try Command.succeed("inspect", path("data"), "--export", "358..363").split(separator: "\n")
      #expect(Array(part.dropFirst()) == Array(csv[359..<364]))
      let sample = try Command.json(
        Command.succeed("inspect", path("data"), "--sample", "361", "--format", "json"))
      #expect(sample["split"]?.text == "holdout" && sample["sample"]?.number == 361)
    }
  }

  @Test func aRowIsFoundByNumberAndByValue() throws {
    try withDataset(samples: 400) { path in
      try Command.succeed(
        "train", path("data"), "--out", path("model"), "--config", Self.configuration, "--memory", "16MiB")
      let first = try String(contentsOfFile: path("log"), encoding: .utf8).prefix { $0 != "\n" }
      let value = String(first.split(separator: "\t", omittingEmptySubsequences: false)[14 + 25])
      let found = try Command.succeed(
        "inspect", path("model"), "--table", "C26", "--value", value, "--format", "json")
      let row = try #require(try Command.json(found)["row"]?.number)
      let same = try Command.succeed(
        "inspect", path("model"), "--table", "C26", "--row", "\(Int(row))", "--format", "json")
      #expect(found == same)
      #expect(try Command.json(same)["value"]?.text == value)
      let text = try Command.succeed("inspect", path("model"), "--table", "C26")
      #expect(!text.contains("\u{1B}"))
      try Command.fail(
        "inspect", path("model"), "--table", "C26", "--value", "zz", saying: ["C26", "zz", "unseen"])
      try Command.fail("inspect", path("model"), "--table", "C26", "--row", "99999", saying: ["C26"])
      try Command.fail("inspect", path("model"), "--table", "C27", saying: ["C27", "C26"])
      try Command.fail("inspect", path("data"), "--sample", "400", saying: ["399"])
    }
  }

  @Test func inspectWorksWhileTheModelIsInTraining() throws {
    try withDataset(samples: 3000, batchSize: 16) { path in
      let run = try Command.Running([
        "train", path("data"), "--out", path("model"), "--config", Self.configuration, "--memory", "10MiB",
        "--epochs", "1000",
      ])
      var cursors: [Double] = []
      for _ in 0..<200 where Set(cursors).count < 3 {
        Thread.sleep(forTimeInterval: 0.05)
        let result = try Command.run("inspect", path("model"), "--format", "json")
        guard result.status == 0 else { continue }
        cursors.append(try #require(try Command.json(result.output)["cursor"]?.number))
      }
      #expect(run.process.isRunning)
      #expect(Set(cursors).count == 3 && cursors == cursors.sorted())
      kill(run.process.processIdentifier, SIGTERM)
      _ = try run.wait()
    }
  }

  @Test(arguments: [
    ["plan", "d"], ["plan", "d", "--memory", "1GiB", "--lookahead", "0"], ["inspect"],
    ["inspect", "d", "--row", "3"], ["inspect", "d", "--table", "C1", "--row", "3", "--value", "ab"],
    ["inspect", "d", "--export", "5..5"], ["inspect", "d", "--export", "5"],
    ["inspect", "d", "--export", "0..5", "--format", "json"], ["inspect", "d", "--sample", "-1"],
    ["inspect", "d", "--top", "0"], ["inspect", "d", "--sample", "1", "--table", "C1"],
  ])
  func wrongUsageExitsWith64(arguments: [String]) throws {
    #expect(try Command.Running(arguments).wait().status == 64)
  }

  @Test(arguments: ["plan", "inspect"])
  func missingFilesAreNamed(command: String) throws {
    try Command.fail(
      command, "/nothing/here", command == "plan" ? "--memory" : "--top", command == "plan" ? "1GiB" : "3",
      saying: ["/nothing/here"])
  }
}
