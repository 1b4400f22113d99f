import BatchStore
import Foundation
import TestSupport
import Testing

@testable import Ingest

/// A rebatch that stops anywhere goes on there, and what it makes in the end does not tell.
@Suite struct RebatchResumeTests {
  private struct Stop: Error {}

  /// Every run but the last stops in another phase; no later one does a phase again that has ended.
  @Test(arguments: [true, false])
  func phaseByPhase(shuffles: Bool) throws {
    try RebatchTests().with(.bags) { work in
      try work.preprocess("data", batchSize: 64)
      func options(_ name: String) -> RebatchOptions {
        var options = RebatchOptions(dataset: work.path("data"), output: work.path(name), batchSize: 8)
        options.segmentBytes = 4000
        options.threads = 1
        options.shuffleSeed = shuffles ? 5 : nil
        options.renumbers = shuffles
        options.renumberBytes = 1 << 20
        return options
      }
      let expected = try rebatch(options("plain")).manifest
      #expect(expected.train.segments.count > 2)
      let total = expected.train.batches + expected.valid.batches + expected.holdout.batches
      typealias Phase = RebatchProgress.Phase
      let phases: [Phase] =
        (shuffles ? [.shuffling, .renumbering] : []) + [.encoding, .nextUses, .writing]
      var kept: [[String]] = []
      var written = 0
      for (run, phase) in (phases + [.writing, .writing]).enumerated() {
        var seen: Set<String> = []
        var notices: [String] = []
        #expect(throws: Stop.self) {
          try rebatch(options("stopped"), notice: { notices.append($0) }) { step in
            seen.insert(step.phase.rawValue)
            if step.phase == .writing { written = step.done }
            if step.phase == phase { throw Stop() }
          }
        }
        kept.append(notices)
        // The run before stopped amid a phase: those before that one had ended.
        let ended = phases.prefix(max(0, min(run, phases.count) - 1))
        #expect(ended.allSatisfy { !seen.contains($0.rawValue) }, "\(phase): \(seen)")
      }
      var last: [String] = []
      let made = try rebatch(options("stopped"), notice: { last.append($0) })
      #expect(kept[0].isEmpty && kept[1].first == "going on where an earlier run stopped")
      if shuffles {
        #expect(kept[2].contains("kept: the order of \(expected.train.samples) samples"))
        #expect(kept[3].contains("kept: the vocabulary"))
      }
      #expect(kept[phases.count - 1].contains("kept: \(expected.samples) samples encoded"))
      #expect(last.contains("kept: \(written) of \(total) batches written") && written > 16, "\(last)")
      #expect(made.manifest == expected)
      #expect(try work.files("stopped") == work.files("plain"))
    }
  }

  /// Another seed, dataset or batch size is another command, and the user hears so.
  @Test func anotherCommandStartsOver() throws {
    try RebatchTests().with(.criteo) { work in
      try work.preprocess("data", batchSize: 64)
      var options = RebatchOptions(dataset: work.path("data"), output: work.path("new"), batchSize: 32)
      func stop() -> [String] {
        var notices: [String] = []
        #expect(throws: Stop.self) {
          try rebatch(options, notice: { notices.append($0) }) { if $0.phase == .writing { throw Stop() } }
        }
        return notices
      }
      options.shuffleSeed = 1
      #expect(stop().isEmpty)
      options.shuffleSeed = 2
      #expect(stop() == ["starting over: the earlier run had another --shuffle"])
      options.memory = 1 << 30
      #expect(stop().first == "going on where an earlier run stopped")
      _ = try rebatch(options)
      options.output = work.path("plain")
      _ = try rebatch(options)
      #expect(try work.files("new") == work.files("plain"))
    }
  }

  /// An order or numbers that are damaged are found again, and where only a record shows it, all is.
  @Test(arguments: ["ordered-train.ended", "ordered-train", "rows", "vocabulary", "batches-train"])
  func damageIsNotBelieved(name: String) throws {
    try RebatchTests().with(.criteo) { work in
      try work.preprocess("data", batchSize: 64)
      var options = RebatchOptions(dataset: work.path("data"), output: work.path("plain"), batchSize: 8)
      options.shuffleSeed = 3
      options.renumbers = true
      options.renumberBytes = 1 << 20
      options.threads = 1
      _ = try rebatch(options)
      options.output = work.path("new")
      #expect(throws: Stop.self) {
        try rebatch(
          options, progress: { if $0.phase == .encoding, 2 * $0.done > $0.total { throw Stop() } })
      }
      let url = URL(fileURLWithPath: work.path("new.partial/work-" + name))
      var bytes = try Data(contentsOf: url)
      bytes[bytes.count - bytes.count / 4] ^= 4
      try bytes.write(to: url)
      var notices: [String] = []
      _ = try rebatch(options, notice: { notices.append($0) })
      let isOrderKept = notices.contains { $0.hasPrefix("kept: the order") }
      let isVocabularyKept = notices.contains("kept: the vocabulary")
      #expect(isVocabularyKept == !["rows", "vocabulary"].contains(name), "\(notices)")
      #expect(isOrderKept == (name != "ordered-train.ended"), "\(notices)")
      #expect(notices.contains { $0.hasPrefix("starting over") } == (name == "ordered-train"), "\(notices)")
      #expect(try work.files("new") == work.files("plain"))
    }
  }
}
