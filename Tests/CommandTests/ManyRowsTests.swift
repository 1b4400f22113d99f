import Foundation
import Primitives
import TestSupport
import Testing

/// The billion-row benchmark in small: rows that all lie on disk, many more than memory holds and than training touches.
/// 10^7 of them, a hundredth, with optimisation; a thousandth without.
@Suite struct ManyRowsTests {
  private static let share = Command.isOptimized ? 0.01 : 0.001
  private static let samples = 24_000

  /// `bench` lies beside the command.
  private func bench(_ arguments: String...) throws -> [String: JSONValue] {
    try Command.json(benchOutput(arguments))
  }

  private func benchOutput(_ arguments: [String], environment: [String: String] = [:]) throws -> String {
    let process = Process()
    process.executableURL = Command.executable.deletingLastPathComponent().appendingPathComponent(
      "ChanterBench")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(arguments)")
    return output
  }

  /// Counted by the C library, in four fetches of 512 rows each that were made before and so have grown what there is to
  /// grow. A debug build makes one allocation for each call.
  @Test func warmFetchesAllocateNothingForARow() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let rows = ["--rows", "200000"]
      _ = try benchOutput(["fill", path("model")] + rows)
      let output = try benchOutput(
        ["fetch", path("model"), "--batch", "512", "--requests", "4", "--counts-allocations"] + rows,
        environment: ["LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_TRACE": path("trace")])
      let allocations = try #require(Int(output.trimmingCharacters(in: .whitespacesAndNewlines)))
      #expect(allocations <= 4)
    }
  }

  @Test func aFewMegabytesTrainWhatLiesOnDisk() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let settings = [
        "--config", Command.configuration("dlrm-small.yaml"), "--set", "dimension=8", "--set",
        "bottom=[16, 8]",
        "--set", "top=[16, 1]",
      ]
      let made = try bench(
        "trace", path("data"), "--rows", "\(Int(1e9 * Self.share))", "--samples", "\(Self.samples)",
        "--batch-size", "256")
      let declared = Int(try #require(made["count"]?.number))
      #expect(abs(Double(declared) - 1e9 * Self.share) < 100)
      let filled = try bench(
        "populate", path("data"), "--out", path("model"), "--config", settings[1], "--set", "dimension=8",
        "--set", "bottom=[16, 8]", "--set", "top=[16, 1]")
      #expect(filled["count"]?.number == Double(declared))
      // Every row on disk: 36 bytes each, and little else.
      let attributes = try FileManager.default.attributesOfItem(atPath: path("model/data.mdb"))
      let fileBytes = try #require(attributes[.size] as? Int)
      #expect(fileBytes >= 36 * declared && Double(fileBytes) < 1.05 * 36 * Double(declared) + 4e6)
      try FileManager.default.copyItem(atPath: path("model"), toPath: path("plain"))

      func train(_ model: String, _ more: String...) throws -> [String: JSONValue] {
        let run = try Command.Running(
          ["train", path("data"), "--out", path(model), "--epochs", "2", "--format", "json"] + settings + more
        )
        let result = try run.wait()
        #expect(result.status == 0, "\(result.errors)")
        return try Command.json(result.output)
      }
      // A seventh of the bytes on disk with optimisation, or the least that works.
      let memory = Command.isOptimized ? 48 : 24
      let cached = try train("model", "--memory", "\(memory)MiB")
      let plain = try train("plain", "--in-memory")
      let batches = Double((Self.samples + 255) / 256)
      #expect(
        cached["samples"]?.number == Double(Self.samples) && plain["samples"]?.number == Double(Self.samples))
      // The trace reads rows all over the disk, none of them taken for a new one.
      let touched = try Command.json(
        Command.succeed("plan", path("data"), "--config", settings[1], "--memory", "1GiB", "--format", "json")
      )
      let touchedRows = try #require(touched["touched_rows"]?.number)
      #expect(touchedRows > 2 * batches * 256 && touchedRows < Double(declared) / 2)
      #expect(try #require(cached["fetched_rows"]?.number) >= touchedRows)
      #expect(cached["initial_rows"]?.number == 0)
      #expect(try #require(cached["blocks_read"]?.number) > 100 * batches)
      #expect(try #require(cached["hit_rate"]?.number) > 0.3)
      #expect(try #require(cached["commits"]?.number) > 1)
      #expect(try #require(cached["compactions"]?.number) >= 1)
      #expect(try Command.succeed("digest", path("model")) == Command.succeed("digest", path("plain")))
    }
  }
}
