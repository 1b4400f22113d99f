import Foundation
import TestSupport
import Testing

/// A small file system in memory, to fill up. Mounting takes the right to do so.
enum SmallDisk {
  static let isPermitted = (try? with(kibibytes: 64) { _, _ in true }) ?? false

  static func with<Result>(
    kibibytes: Int, _ body: (_ path: URL, _ resize: (_ kibibytes: Int) throws -> Void) throws -> Result
  ) throws -> Result {
    try withTemporaryDirectory { directory in
      try run("mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k", "chanter-test", directory.path)
      defer { try? run("umount", directory.path) }
      return try body(directory) { try run("mount", "-o", "remount,size=\($0)k", directory.path) }
    }
  }

  private static func run(_ arguments: String...) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    if process.terminationStatus != 0 { throw CocoaError(.fileWriteNoPermission) }
  }
}

/// No space left at any moment: an error that says so, nothing lost, and the same command goes on once there is some.
@Suite(.enabled(if: SmallDisk.isPermitted, "mounting a small file system is not permitted here"))
struct FullDiskTests {
  private static var saysFull: Regex<Substring> { /no space left|disk is full|it is full|No space left/ }

  /// The disk grows a little after each failure: creation, commits and compactions run out of space in turn.
  @Test func trainingGoesOnFromTheLastCommit() throws {
    try TrainedModel.with(samples: 3000, batchSize: 16, epochs: 1) { trained in
      try SmallDisk.with(kibibytes: 4) { disk, resize in
        let model = disk.appendingPathComponent("model").path
        var failures = 0
        var lastBatches = 0.0
        for kibibytes in [4, 12, 24, 40] + Array(stride(from: 100, through: 4000, by: 150)) {
          try resize(kibibytes)
          let result = try trained.trained(model)
          if result.status == 0 { break }
          failures += 1
          #expect(
            result.status == 1 && !result.wasKilled, "\(kibibytes) KiB: \(result.status) \(result.errors)")
          #expect(result.errors.contains(Self.saysFull), "\(result.errors)")
          let check = try Command.run("check", model, "--format", "json")
          if check.status == 0 {
            let batches = try #require(Command.json(check.output)["batches"]?.number)
            #expect(batches >= lastBatches)
            lastBatches = batches
          } else {
            #expect(check.errors.contains(/no model is there|lock.mdb/), "\(check.output)\(check.errors)")
          }
        }
        #expect(failures > 4 && lastBatches > 0)
        #expect(try Command.succeed("digest", model) == trained.digest)
      }
    }
  }

  @Test func preprocessingStartsOver() throws {
    try TrainedModel.with(samples: 2000, batchSize: 16, epochs: 1) { trained in
      try SmallDisk.with(kibibytes: 8) { disk, resize in
        let output = disk.appendingPathComponent("data").path
        var failures = 0
        for kibibytes in [8, 40, 80, 120, 160, 200, 800] {
          try resize(kibibytes)
          // A file that will not fit is refused before it is read; how much comes from a pipe nobody knows.
          try Command.fail(
            "preprocess", trained.path("log"), "--out", output, "--batch-size", "16", saying: ["make room"])
          let result = try Command.run(
            "preprocess", "-", "--out", output, "--batch-size", "16",
            input: trained.directory.appendingPathComponent("log"))
          if result.status == 0 { break }
          failures += 1
          #expect(
            result.status == 1 && !result.wasKilled, "\(kibibytes) KiB: \(result.status) \(result.errors)")
          #expect(result.errors.contains(Self.saysFull), "\(result.errors)")
          #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
        }
        #expect(failures > 1)
        #expect(
          try contents(of: URL(fileURLWithPath: output))
            == contents(of: trained.directory.appendingPathComponent("data")))
      }
    }
  }

  /// Old segments have no second name on another disk: room for their copies is asked for before anything is read.
  @Test func appendingOnAnotherDiskCountsTheOldSegments() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      try Command.succeed("generate", path("log"), "--samples", "3000", "--rows", "4000", "--seed", "5")
      try Command.succeed("generate", path("more"), "--samples", "40", "--rows", "4000", "--seed", "6")
      try Command.succeed("preprocess", path("log"), "--out", path("data"), "--batch-size", "64")
      let append = ["preprocess", path("more"), "--append", path("data"), "--out"]
      #expect(try Command.Running(append + [path("here")]).wait().status == 0)
      let bytes = try contents(of: URL(fileURLWithPath: path("here"))).values.reduce(0) { $0 + $1.count }
      let size = bytes / 1024
      try SmallDisk.with(kibibytes: size - 40) { disk, resize in
        let output = disk.appendingPathComponent("data").path
        let refused = try Command.Running(append + [output]).wait()
        #expect(refused.status == 1 && refused.errors.contains("make room"), "\(refused.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
        try resize(4 * size)
        let made = try Command.Running(append + [output]).wait()
        #expect(made.status == 0, "\(made.errors)")
        #expect(
          try contents(of: URL(fileURLWithPath: output)) == contents(of: URL(fileURLWithPath: path("here"))))
      }
    }
  }

  @Test func aCopyThatDoesNotFitIsNotThere() throws {
    try TrainedModel.with(samples: 2000, batchSize: 16, epochs: 1) { trained in
      try SmallDisk.with(kibibytes: 8) { disk, resize in
        let copy = disk.appendingPathComponent("copy").path
        for kibibytes in [8, 60, 300] {
          try resize(kibibytes)
          let result = try Command.run("copy", trained.path("plain"), copy)
          #expect(
            result.status == 1 && !result.wasKilled && result.errors.contains(Self.saysFull), "\(result)")
          #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
        }
        try resize(4000)
        try Command.succeed("copy", trained.path("plain"), copy)
        #expect(try Command.succeed("digest", copy) == trained.digest)
      }
    }
  }
}
