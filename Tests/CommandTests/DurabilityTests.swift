import Foundation
import Primitives
import TestSupport
import Testing

/// What a crash, a second process and a damaged byte leave behind, seen through the commands.
@Suite struct DurabilityTests {
  private static let samples = Command.isOptimized ? 60_000 : 3000

  /// Random instants of opening, compacting, fetching, committing and the ends of epochs.
  @Test func thirtyKillsLeaveNoTrace() throws {
    try TrainedModel.with(samples: Self.samples, batchSize: 16, epochs: 3) { trained in
      let model = trained.path("model")
      let seed = UInt64(Date().timeIntervalSince1970)
      let random = CounterRandom(seed: seed, stream: 98)
      var kills = 0
      for attempt in 0..<300 as Range<UInt64> where kills < 30 {
        let run = try Command.Running(trained.train(model))
        Thread.sleep(forTimeInterval: 0.005 + 3 * trained.seconds / 30 * random.uniform(attempt))
        if run.process.isRunning { kill(run.process.processIdentifier, SIGKILL) }
        let result = try run.wait()
        if result.wasKilled {
          kills += 1
        } else {
          // It came to its end between the kills: its model is right, and the rest of them hit another one.
          #expect(result.status == 0, "\(result.errors)")
          #expect(try Command.succeed("digest", model) == trained.digest, "seed \(seed)")
          try FileManager.default.removeItem(atPath: model)
        }
        if kills % 5 == 0 {
          let check = try Command.run("check", model)
          #expect(check.status == 0 || check.errors.contains("no model is there"), "\(check.output)")
        }
      }
      #expect(kills == 30)
      let result = try trained.trained(model)
      #expect(result.status == 0, "\(result.errors)")
      #expect(try Command.succeed("digest", model) == trained.digest, "seed \(seed)")
    }
  }

  @Test func aSecondTrainerIsRefused() throws {
    try TrainedModel.with(samples: 3000, batchSize: 16, epochs: 2) { trained in
      let model = trained.path("model")
      // Far too long to finish before the second comes.
      let first = try Command.Running(trained.train(model) + ["--epochs", "100000"])
      let identifier = first.process.processIdentifier
      let lock = trained.path("model/trainer.lock")
      while first.process.isRunning, (try? String(contentsOfFile: lock, encoding: .utf8)) != "\(identifier)\n"
      {
        Thread.sleep(forTimeInterval: 0.01)
      }
      let second = try trained.trained(model)
      #expect(
        second.status == 1 && second.errors.contains("process \(identifier) is training this model"),
        "\(second.errors)")
      #expect(first.process.isRunning)
      kill(identifier, SIGKILL)
      #expect(try first.wait().wasKilled)
    }
  }

  /// Copies of a model in training are sound, have no chunks, and training goes on from each to the same end.
  @Test func copiesOfAModelInTraining() throws {
    try TrainedModel.with(samples: Self.samples, batchSize: 16, epochs: 2) { trained in
      let model = trained.path("model")
      let run = try Command.Running(trained.train(model))
      var copies: [String] = []
      while run.process.isRunning, copies.count < 4 {
        let copy = trained.path("copy\(copies.count)")
        let result = try Command.run("copy", model, copy, "--format", "json")
        if result.status == 0 {
          copies.append(copy)
          #expect(try Command.json(Command.succeed("check", copy, "--format", "json"))["chunks"]?.number == 0)
          let seen = try Command.json(Command.succeed("inspect", model, "--table", "C1", "--format", "json"))
          let commits = try ["first_commit", "last_commit"].map { try #require(seen[$0]?.number) }
          #expect(commits[0] <= commits[1] && commits[1] == seen["commits"]?.number)
        } else {
          #expect(result.errors.contains("no model is there"), "\(result.errors)")
        }
      }
      #expect(try run.wait().status == 0)
      #expect(!copies.isEmpty)
      let copy = try #require(copies.last)
      let resumed = try trained.trained(copy)
      #expect(resumed.status == 0, "\(resumed.errors)")
      #expect(try Command.succeed("digest", copy) == trained.digest)
      #expect(
        try Command.succeed("predict", copy, trained.path("log")).split(separator: "\n").count == Self.samples
      )
      try Command.fail("copy", model, copy, saying: [copy, "exists"])
      try Command.fail("copy", trained.path("nothing"), trained.path("new"), saying: ["no model is there"])
      #expect(!FileManager.default.fileExists(atPath: trained.path("new.partial")))
    }
  }

  @Test func aKilledCopyLeavesNothingUnderItsName() throws {
    try TrainedModel.with(samples: 2000, batchSize: 64, epochs: 1) { trained in
      let random = CounterRandom(seed: UInt64(Date().timeIntervalSince1970), stream: 97)
      let copy = trained.path("copy")
      for attempt in 0..<12 as Range<UInt64> {
        let run = try Command.Running(["copy", trained.path("plain"), copy])
        Thread.sleep(forTimeInterval: 0.08 * random.uniform(attempt))
        kill(run.process.processIdentifier, SIGKILL)
        _ = try run.wait()
        guard FileManager.default.fileExists(atPath: copy) else { continue }
        try Command.succeed("check", copy)
        try FileManager.default.removeItem(atPath: copy)
      }
      try Command.succeed("copy", trained.path("plain"), copy)
      #expect(try Command.succeed("digest", copy) == trained.digest)
      #expect(!FileManager.default.fileExists(atPath: copy + ".partial"))
    }
  }

  /// One flipped byte each in a block, a chunk and the dense record: what needs it says so, and `check` says where.
  @Test func flippedBytesAreFoundAndNamed() throws {
    try TrainedModel.with(samples: 3000, batchSize: 16, epochs: 1) { trained in
      // Stopped after a commit and before the next compaction, so that there are chunks.
      let model = trained.path("model")
      var places: [String: Int] = [:]
      for round in 1...40 where places["chunk"] == nil {
        let run = try Command.Running(trained.train(model))
        Thread.sleep(forTimeInterval: trained.seconds / 40 * Double(round))
        run.process.interrupt()
        _ = try run.wait()
        // Stopped before anything was committed: once more.
        if try Command.run("check", model).status != 0 { continue }
        places = try Self.damageable(trained, model)
      }
      try Command.succeed("evaluate", model, trained.path("data"), "--split", "train")
      let finished = try Self.damageable(trained, trained.path("plain"))
      for (part, source, place) in [
        ("chunk", model, places["chunk"]), ("dense", model, places["dense"]),
        ("block", trained.path("plain"), finished["block"]),
      ] {
        let damaged = trained.path("damaged-\(part)")
        try FileManager.default.copyItem(atPath: source, toPath: damaged)
        try Self.flip(damaged, try #require(place, "no \(part) in the model"))
        try Command.fail(
          "evaluate", damaged, trained.path("data"), "--split", "train",
          saying: ["is damaged", "`chanter check`"])
        let train = try Command.Running(trained.train(damaged) + ["--set", "epochs=2"]).wait()
        #expect(train.status == 1 && train.errors.contains("is damaged"), "\(part): \(train.errors)")
        let check = try Command.run("check", damaged)
        #expect(check.status == 1 && check.output.contains("is damaged"))
        try Command.fail("copy", damaged, trained.path("copy"), saying: ["is damaged"])
        #expect(!FileManager.default.fileExists(atPath: trained.path("copy")))
      }
    }
  }

  private static func flip(_ model: String, _ offset: Int) throws {
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: model + "/data.mdb"))
    try file.seek(toOffset: UInt64(offset))
    let byte = try #require(try file.read(upToCount: 1)?.first)
    try file.seek(toOffset: UInt64(offset))
    try file.write(contentsOf: Data([byte ^ 0x10]))
    try file.close()
  }

  /// The offset of a byte in each part of the model: large values start 16 bytes into a page that carries its own
  /// number; flipping one byte and asking `check` tells what a value is, or that it is a stale page.
  private static func damageable(_ trained: TrainedModel, _ model: String) throws -> [String: Int] {
    let data = try Data(contentsOf: URL(fileURLWithPath: model + "/data.mdb"))
    let probe = trained.path("probe")
    try? FileManager.default.removeItem(atPath: probe)
    try FileManager.default.copyItem(atPath: model, toPath: probe)
    var found: [String: Int] = [:]
    func number(_ offset: Int, _ bytes: Int) -> Int {
      data[offset..<offset + bytes].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    for page in 2..<data.count / 4096 {
      guard number(page * 4096, 8) == page, number(page * 4096 + 10, 2) == 4 else { continue }
      let place = page * 4096 + 60
      try flip(probe, place)
      let output = try Command.run("check", probe, "--format", "json").output
      try flip(probe, place)
      let lines = output.split(separator: "\n")
      guard lines.count == 2, let damage = try? Command.json(String(lines[0])),
        let part = damage["part"]?.text
      else { continue }
      // Frequent values have the first rows, so that every pass over the data reads them.
      if part == "block", damage["first_row"]?.number != 0 { continue }
      if found[part] == nil { found[part] = place }
      if found.count == 3 { break }
    }
    return found
  }
}
