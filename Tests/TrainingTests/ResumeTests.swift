import BatchStore
import Foundation
import Lookahead
import Models
import Primitives
import TableStore
import TestSupport
import Testing

@testable import Training

/// Stops a run as a crash would: nothing after the last commit in flight is kept.
private struct Crash: Error {}

@Suite struct ResumeTests {
  private func withHarness(
    batches: Int, configuration: Configuration = SmallDataset.configuration(), commitInterval: Int = 4,
    extraRows: Int = 40, _ body: (Harness, (String) -> String) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: batches, batchSize: 32)
      try body(
        Harness(path, configuration, commitInterval: commitInterval, extraRows: extraRows),
        { directory.appendingPathComponent($0).path })
    }
  }

  @Test func resumesAtEveryBatchBoundary() throws {
    try withHarness(batches: 20) { harness, path in
      let expected = try harness.plainDigest(26)
      for boundary in 1..<26 {
        let model = path("model-\(boundary)")
        try harness.train(model, until: boundary)
        #expect(try Harness.cursor(model) == boundary)
        try harness.train(model, until: 26)
        #expect(try Harness.digest(model) == expected, "stopped after batch \(boundary)")
      }
    }
  }

  @Test func stoppingAfterEveryBatchEndsWithTheSameModel() throws {
    try withHarness(batches: 12) { harness, path in
      for end in 1...15 { try harness.train(path("model"), until: end) }
      #expect(try Harness.digest(path("model")) == harness.plainDigest(15))
    }
  }

  /// The rows of a large cache never leave it; the blocks get them from commits and compactions only, of which the later
  /// crashes have seen one or two.
  @Test(arguments: [17, 66, 79])
  func aCrashKeepsExactlyTheLastCommit(crashAt: Int) throws {
    try withHarness(batches: 40, commitInterval: 2, extraRows: 5000) { harness, path in
      let model = path("model")
      #expect(throws: Crash.self) {
        try harness.train(model, until: 80, observer: { if $0.step == crashAt { throw Crash() } })
      }
      // The compaction asked for after batch 32 is relied on from batch 49 on.
      if crashAt > 48 { #expect(try ModelStore.examine(at: model, found: { _ in }).blocks > 0) }
      let cursor = try Harness.cursor(model)
      #expect(cursor > 0 && cursor <= crashAt && cursor > crashAt - 8)
      #expect(try Harness.digest(model) == harness.plainDigest(cursor))
      let counters = try harness.train(model, until: 80)
      #expect(counters.batches == 80 - cursor)
      #expect(try Harness.digest(model) == harness.plainDigest(80))
    }
  }

  @Test func aStopRequestCommitsWhatWasTrained() throws {
    try withHarness(batches: 40) { harness, path in
      let stop = StopSignal()
      let counters = try harness.train(
        path("model"), until: 40, stop: stop, observer: { if $0.step == 9 { stop.request() } })
      let cursor = try Harness.cursor(path("model"))
      // Batches that were read already are still trained.
      #expect(cursor >= 10 && cursor < 40 && counters.batches == cursor)
      #expect(try Harness.digest(path("model")) == harness.plainDigest(cursor))
      try harness.train(path("model"), until: 40)
      #expect(try Harness.digest(path("model")) == harness.plainDigest(40))
    }
  }

  @Test func memoryThreadsLookaheadAndPolicyMayChangeOnTheWay() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let model = directory.appendingPathComponent("model").path
      try SmallDataset.write(to: path, batches: 20, batchSize: 32)
      for (index, lookahead) in [1, 5, 2, 9].enumerated() {
        var configuration = SmallDataset.configuration(lookahead: lookahead, threads: index % 3 + 1)
        configuration.run.policy = index % 2 == 0 ? .min : .window
        let harness = try Harness(
          path, configuration, commitInterval: index + 2, extraRows: 50 * index)
        try harness.train(model, until: 8 * (index + 1))
      }
      let harness = try Harness(path, SmallDataset.configuration())
      #expect(try Harness.digest(model) == harness.plainDigest(32))
    }
  }

  /// A row that is no number any more: the next batch that reads it ends the run, and the last commit is whole.
  @Test func aNumberThatIsNotFiniteStopsAtItsBatch() throws {
    try withHarness(batches: 20, commitInterval: 4) { harness, path in
      let error = #expect(throws: ChanterError.self) {
        try harness.train(
          path("model"), until: 20,
          observer: { step in
            guard step.step == 13 else { return }
            for position in 0..<Int(step.batch.tableOffsets[1]) {
              step.input.rows[Int(step.input.slots[position]) * step.input.rowFloats] = .nan
            }
          })
      }
      #expect(error?.description.contains("batch 15: table C1 is infinite or not a number") == true)
      #expect(try Harness.cursor(path("model")) == 12)
      #expect(try Harness.digest(path("model")) == harness.plainDigest(12))
      try harness.train(path("model"), until: 20)
      #expect(try Harness.digest(path("model")) == harness.plainDigest(20))
    }
  }
}
