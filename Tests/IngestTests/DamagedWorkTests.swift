import BatchStore
import Foundation
import TestSupport
import Testing

@testable import Ingest

/// Work files that are damaged, cut short or of another command: their phase is done again, or all of it, and the result is the same.
@Suite struct DamagedWorkTests {
  private struct Stop: Error {}

  /// Ordered by time, with quantiles and values on disk: every kind of work file there is.
  private static func options(_ directory: URL, _ name: String) throws -> PreprocessOptions {
    let lines = ArrangementTests.lines(900)
    var options = PreprocessOptions(
      inputs: [
        try directory.file("in.csv", "y,n,t,c\n" + lines.map(\.text).joined(separator: "\n"))
      ], output: "\(directory.path)/\(name)")
    options.schema = try SchemaReader.parse(
      """
      order: time
      columns:
        - { name: y, type: label }
        - { name: n, type: dense, transform: bucketise, buckets: 5 }
        - { name: t, type: time }
        - { name: c, type: categorical }
      """, path: "schema")
    options.batchSize = 16
    options.segmentBytes = 3000
    options.threads = 1
    // Little to sort with.
    options.memory = 180 << 20
    options.valueBytes = 0
    options.partitionBytes = 300_000
    return options
  }

  private static let order = "kept: the order of 900 lines"
  private static let batches = "kept: 32 of 57 batches written"

  /// By where a run stopped: its work files, and what is kept with them and not without; nil where all starts over.
  private static let cases: [(phase: PreprocessProgress.Phase, files: [(name: String, kept: String?)])] = [
    (.reading, [("work-arranged", order), ("work-arranged.ended", order)]),
    (
      .encoding,
      [
        ("work-samples", nil), ("work-resolved", nil), ("work-vocabulary", nil),
        ("work-numbering.ended", nil),
      ]
    ),
    (
      .writing,
      [
        ("work-traced-train.ended", batches), ("work-hints-train", batches),
        ("work-batches-train", nil), ("train-00000.batches", batches), ("train-00001.batches", batches),
      ]
    ),
  ]

  private enum Damage: CaseIterable { case none, flippedBit, cut, missing }

  @Test func isNotBelieved() throws {
    try withTemporaryDirectory { directory in
      let plain = try Self.options(directory, "plain")
      _ = try preprocess(plain)
      let expected = try InputTests.files(plain.output)
      /// - Returns: what the user heard.
      func run(_ name: String, until phase: PreprocessProgress.Phase?) throws -> [String] {
        var options = plain
        options.output = directory.path + "/" + name
        var notices: [String] = []
        do {
          _ = try preprocess(options, notice: { notices.append($0) }) {
            if $0.phase == phase, 2 * $0.done > $0.total { throw Stop() }
          }
        } catch is Stop {}
        return notices
      }
      for (phase, files) in Self.cases {
        _ = try run("stopped", until: phase)
        for (number, (name, kept)) in files.enumerated() {
          for damage in number == 0 ? Damage.allCases : [number % 2 == 0 ? .flippedBit : .cut] {
            let work = directory.path + "/damaged.partial"
            try FileManager.default.copyItem(atPath: directory.path + "/stopped.partial", toPath: work)
            let path = work + "/" + name
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            if damage == .flippedBit { bytes[bytes.count - bytes.count / 8] ^= 4 }
            if damage == .cut { bytes.removeLast(bytes.count / 3) }
            try FileManager.default.removeItem(atPath: path)
            if damage != .missing { try bytes.write(to: URL(fileURLWithPath: path)) }
            let notices = try run("damaged", until: nil)
            let isKept =
              kept.map(notices.contains) ?? true && !notices.contains { $0.hasPrefix("starting over") }
            #expect(isKept == (damage == .none), "\(name) \(damage): \(notices)")
            let isSame = try InputTests.files(directory.path + "/damaged") == expected
            #expect(isSame, "\(name) \(damage)")
            try FileManager.default.removeItem(atPath: directory.path + "/damaged")
          }
        }
        try FileManager.default.removeItem(atPath: directory.path + "/stopped.partial")
      }
    }
  }
}
