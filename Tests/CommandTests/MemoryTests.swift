import Foundation
import Primitives
import TestSupport
import Testing

/// Invariant 3, seen from outside: what a process keeps in anonymous memory against the budget that it was given.
@Suite struct MemoryTests {
  /// The program itself, its threads' stacks and OpenBLAS's buffers.
  private static let constantBytes = 64 << 20

  /// The highest resident anonymous memory of a process until its end, in bytes.
  private func peak(_ arguments: [String]) throws -> Int {
    let run = try Command.Running(arguments)
    let status = "/proc/\(run.process.processIdentifier)/status"
    var peak = 0
    while run.process.isRunning {
      if let text = try? String(contentsOfFile: status, encoding: .utf8),
        let found = text.firstMatch(of: /RssAnon:\s+(\d+) kB/), let kibibytes = Int(found.1)
      {
        peak = max(peak, kibibytes << 10)
      }
      Thread.sleep(forTimeInterval: 0.005)
    }
    let result = try run.wait()
    #expect(result.status == 0, "\(result.errors)")
    return peak
  }

  /// Wide rows, so that even the larger budgets are spent; without optimisation only the least one.
  @Test(arguments: Command.isOptimized ? [nil, 96, 192, 1024] : [nil], [false, true])
  func trainingStaysWithinItsBudget(mebibytes: Int?, validates: Bool) throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let samples = !Command.isOptimized ? 1500 : mebibytes == 1024 ? 32_000 : 6000
      try Command.succeed(
        "generate", path("log"), "--samples", "\(samples)", "--rows", "1000000000")
      try Command.succeed(
        "preprocess", path("log"), "--out", path("data"), "--batch-size", "128", "--valid-share", "0.1")
      func arguments(_ memory: Int) -> [String] {
        [
          "train", path("data"), "--out", path("model"), "--config", Command.configuration("dlrm-small.yaml"),
          "--set",
          "dimension=512", "--set", "bottom=[64, 512]", "--memory", "\(memory)MiB",
        ] + (validates ? ["--valid-every", "5", "--keep-best"] : [])
      }
      let refused = try Command.Running(arguments(1)).wait()
      let named = try #require(refused.errors.firstMatch(of: /at least (\d+)MiB/))
      let least = try #require(Int(named.1))
      let memory = mebibytes ?? least
      let peak = try peak(arguments(memory))
      #expect(peak <= (memory << 20) + Self.constantBytes, "\(peak >> 20) MiB of \(memory) MiB")
      // A budget that nothing is done with would hold, too.
      #expect(peak > (memory << 19), "\(peak >> 20) MiB of \(memory) MiB")
    }
  }
}
