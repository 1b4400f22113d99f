import Foundation
import TestSupport
import Testing

/// Kills at each kind of instant on purpose. The names of a run's threads say what it is doing; when that is what is wanted, the run
/// is stopped, looked at again while it stands still, and killed if it still is. So every kill is known to have hit its kind.
@Suite struct KillInstantTests {
  enum Instant {
    /// The model is locked by this run, nothing is trained yet: what was committed moves into blocks.
    case opening
    case fetch
    case commit
    case compaction
    /// Nothing is fetched any more: the last batches are trained and committed.
    case endOfEpoch
  }

  private static let killsOfEach = 3

  @Test func everyKindOfInstantLeavesNoTrace() throws {
    try TrainedModel.with(samples: 3000, batchSize: 64, epochs: 3, rows: 300_000) { trained in
      let model = trained.path("model")
      // The least memory: a commit every few batches and a compaction every few commits.
      let refused = try trained.trained(model, memory: "1MiB")
      let named = try #require(refused.errors.firstMatch(of: /at least (\d+MiB)/))
      let train = trained.train(model, memory: String(named.1))
      var wanted =
        Array(repeating: [.commit, .compaction, .opening, .fetch, .endOfEpoch], count: Self.killsOfEach)
        .flatMap { $0 } as [Instant]
      var epochs = 1
      // A run takes a fraction of a second, and which instants it offers is chance.
      for attempt in 0..<300 {
        guard let instant = wanted.first else { break }
        let run = try Command.Running(train + ["--epochs", "\(epochs)"])
        let isHit = Self.killed(run.process, at: instant, of: model)
        let result = try run.wait()
        if isHit {
          #expect(result.wasKilled)
          wanted.removeFirst()
          continue
        }
        // It came to its end unharmed: on to the next epoch, or once more from the beginning.
        #expect(result.status == 0 && !result.wasKilled, "attempt \(attempt): \(result.errors)")
        if epochs < 3 {
          epochs += 1
        } else {
          #expect(try Command.succeed("digest", model) == trained.digest)
          try FileManager.default.removeItem(atPath: model)
          epochs = 1
        }
      }
      #expect(wanted.isEmpty, "not hit: \(wanted)")
      let last = try Command.Running(train).wait()
      #expect(last.status == 0, "\(last.errors)")
      #expect(try Command.succeed("digest", model) == trained.digest)
      try Command.succeed("check", model)
    }
  }

  /// - Returns: whether the process was killed at the instant; false if it came to its end first.
  private static func killed(_ process: Process, at wanted: Instant, of model: String) -> Bool {
    let identifier = process.processIdentifier
    var hasFetched = false
    func isThere(_ threads: [Seen]) -> Bool {
      let names = threads.map(\.name)
      let fetches = names.contains("prefetcher") || names.contains("fetch")
      if fetches { hasFetched = true }
      return switch wanted {
      case .opening: !hasFetched && text("\(model)/trainer.lock") == "\(identifier)\n"
      case .fetch: names.contains("fetch")
      case .commit: names.contains("commit")
      case .compaction: names.contains("compaction")
      case .endOfEpoch: hasFetched && !fetches
      }
    }
    // These begin again and again, and are hit not each time with the first. The others come once.
    if wanted != .opening, wanted != .endOfEpoch { usleep(UInt32.random(in: 0..<100_000)) }
    while process.isRunning {
      if isThere(threads(of: identifier)) {
        if wanted == .opening { usleep(UInt32.random(in: 0..<5000)) }
        kill(identifier, SIGSTOP)
        var seen = threads(of: identifier)
        while process.isRunning, seen.isEmpty || !seen.allSatisfy(\.isStopped) {
          usleep(50)
          seen = threads(of: identifier)
        }
        if process.isRunning, isThere(seen) {
          return kill(identifier, SIGKILL) == 0
        }
        kill(identifier, SIGCONT)
      }
      usleep(100)
    }
    return false
  }

  private struct Seen {
    let name: String
    let isStopped: Bool
  }

  private static func threads(of identifier: pid_t) -> [Seen] {
    let folder = "/proc/\(identifier)/task"
    let tasks = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return tasks.compactMap { task in
      // Name in parentheses, then the state.
      guard let status = text("\(folder)/\(task)/stat"), let open = status.firstIndex(of: "("),
        let close = status.lastIndex(of: ")"), let state = status[close...].dropFirst(2).first
      else { return nil }
      return Seen(name: String(status[status.index(after: open)..<close]), isStopped: state == "T")
    }
  }

  /// A small file of the kernel's, without Foundation's detours; nil if it is not there.
  private static func text(_ path: String) -> String? {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 512)
    let count = read(file, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
  }
}
