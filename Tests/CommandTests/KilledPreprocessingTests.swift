import Foundation
import TestSupport
import Testing

/// Kills at each phase on purpose: as soon as the work file that it writes has some bytes. The next run keeps what was finished, and
/// the last one makes the same bytes as a run that nobody disturbs.
@Suite struct KilledPreprocessingTests {
  /// A file in the unfinished output that shows that a phase is under way, and what the next run says that it keeps.
  private typealias Stage = (file: String, kept: [String])

  private static let encoded = "samples encoded"
  private static let written = "batches written"

  @Test func everyPhaseIsSurvived() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      for (name, seed) in [("log", "1"), ("more", "2")] {
        try Command.succeed("generate", path(name), "--samples", "4000", "--rows", "9000", "--seed", seed)
      }
      try survive(
        ["preprocess", path("log"), "--batch-size", "16"], as: path("data"),
        [
          ("work-samples", []), ("work-batches-train", ["samples read"]),
          ("work-hints-train", [Self.encoded]),
          ("train-00000.batches", [Self.encoded, Self.written]),
        ])
      try survive(
        ["preprocess", path("more"), "--append", path("data")], as: path("both"),
        [
          ("work-batches-train", ["samples read"]), ("train-00001.batches", [Self.encoded, Self.written]),
        ])
      try survive(
        [
          "rebatch", path("data"), "--batch-size", "24", "--shuffle", "5", "--renumber", "--memory", "120MiB",
        ], as: path("mixed"),
        [
          ("work-rows", ["order of"]), ("work-batches-train", ["the vocabulary"]),
          ("train-00000.batches", [Self.encoded, Self.written]),
        ])
    }
  }

  /// Leaves the result at `output`.
  private func survive(_ command: [String], as output: String, _ stages: [Stage]) throws {
    let killed = output + "-killed"
    let command = command + ["--threads", "1"]
    #expect(try Command.Running(command + ["--out", output]).wait().status == 0)
    var kept: [String] = []
    for stage in stages {
      let run = try Command.Running(command + ["--out", killed])
      let file = "\(killed).partial/\(stage.file)"
      while run.process.isRunning, size(file) < 4096 { usleep(200) }
      kill(run.process.processIdentifier, SIGKILL)
      let result = try run.wait()
      #expect(result.wasKilled, "\(command[0]) ended before it was killed at \(stage.file)")
      expect(kept, in: result.errors, after: "\(command[0]): \(stage.file)")
      kept = stage.kept
    }
    let last = try Command.Running(command + ["--out", killed]).wait()
    #expect(last.status == 0 && last.errors.contains("going on where"), "\(last.errors)")
    expect(kept, in: last.errors, after: command[0])
    let isSame = try contents(of: URL(fileURLWithPath: killed)) == contents(of: URL(fileURLWithPath: output))
    #expect(isSame, "\(command)")
  }

  private func expect(_ kept: [String], in errors: String, after place: String) {
    let lines = errors.split(separator: "\n").filter { $0.hasPrefix("kept: ") }
    #expect(kept.allSatisfy { part in lines.contains { $0.contains(part) } }, "\(place): \(errors)")
  }

  private func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}
