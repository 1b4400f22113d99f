import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// A run that stops anywhere goes on there, and what it makes in the end does not tell.
@Suite struct PreprocessResumeTests {
  struct Stop: Error {}

  private static let lines = (0..<2).flatMap {
    randomLog(lines: 5500, seed: UInt64(60 + $0), values: 3000 * UInt64($0 + 1))
  }

  private static func options(_ directory: URL, _ name: String, valueBytes: Int?) throws -> PreprocessOptions
  {
    let text = Data(lines.joined(separator: "\n").utf8)
    var options = PreprocessOptions(
      inputs: [
        try directory.file("a", text.prefix(text.count / 3 + 1)),
        // The second begins in the middle of a line, which is skipped, so that a mark has to remember bad lines.
        try directory.file("b", text.dropFirst(text.count / 3 + 1)),
      ], output: "\(directory.path)/\(name)")
    options.badLines = .skip(atMost: 10)
    options.batchSize = 100
    options.threads = 1
    options.segmentBytes = 60_000
    options.valueBytes = valueBytes
    options.partitionBytes = valueBytes.map { _ in 300_000 }
    return options
  }

  /// Every run but the last stops at another place, and the next begins there.
  @Test(arguments: [nil, 0, 9_000_000])
  func stepByStep(valueBytes: Int?) throws {
    try withTemporaryDirectory { directory in
      let plain = try Self.options(directory, "plain", valueBytes: valueBytes)
      let expected = try preprocess(plain)
      let options = try Self.options(directory, "steps", valueBytes: valueBytes)
      var stops: [(phase: PreprocessProgress.Phase, share: Double)] = [
        (.reading, 0.5), (.encoding, 0.2), (.encoding, 0.6), (.encoding, 0.95), (.nextUses, 0.5),
        (.writing, 0.3), (.writing, 0.8),
      ]
      if valueBytes != nil { stops += [(.counting, 0.5), (.numbering, 0.5), (.resolving, 0.5)] }
      let rest = stops.map { $0 }
      var missing = rest
      var first: [String] = []
      // How far the run before came, and what the next one kept of it.
      var (encoded, written) = (0, 0)
      var (encodedSoFar, writtenSoFar) = ([0], [0])
      var (keptSamples, keptBatches): ([String?], [String?]) = ([], [])
      var report: PreprocessReport?
      for run in 0...rest.count where report == nil {
        var isFirst = true
        var notices: [String] = []
        do {
          report = try preprocess(options, notice: { notices.append($0) }) { step in
            if isFirst { first.append(step.phase.rawValue) }
            isFirst = false
            if step.phase == .encoding { encoded = step.done }
            if step.phase == .writing { written = step.done }
            let here = missing.firstIndex {
              $0.phase == step.phase && Double(step.done) >= $0.share * Double(step.total)
            }
            if let here {
              missing.remove(at: here)
              throw Stop()
            }
          }
        } catch is Stop {}
        #expect((notices.first == "going on where an earlier run stopped") == (run > 0), "\(notices)")
        keptSamples.append(notices.first { $0.hasSuffix("samples encoded") })
        keptBatches.append(notices.last { $0.hasSuffix("batches written") })
        encodedSoFar.append(encoded)
        writtenSoFar.append(written)
      }
      let made = try #require(report)
      #expect(missing.isEmpty, "\(missing)")
      let names = try InputTests.files(plain.output).filter {
        try InputTests.files(options.output)[$0.key] != $0.value
      }.keys
      #expect(names.isEmpty && made.manifest == expected.manifest)
      #expect(made.thresholds == expected.thresholds && made.skipped.count == expected.skipped.count)
      #expect(made.skipped.first.map(\.description) == expected.skipped.first.map(\.description))
      #expect(made.holdoutUnseen == expected.holdoutUnseen && made.skipped.count == 2)
      let batches = made.manifest.train.batches + made.manifest.holdout.batches
      #expect(
        keptSamples == encodedSoFar.dropLast().map { $0 == 0 ? nil : "kept: \($0) samples encoded" })
      #expect(
        keptBatches
          == writtenSoFar.dropLast().map { $0 == 0 ? nil : "kept: \($0) of \(batches) batches written" })
      #expect(made.manifest.train.segments.count > 3)
      // What was read is not read again, nor encoded.
      #expect(first.dropFirst(2).allSatisfy { $0 != "reading" }, "\(first)")
      #expect(first.last == "writing batches", "\(first)")
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: options.output).allSatisfy {
          !$0.hasPrefix("work") && !$0.hasPrefix(".")
        })
    }
  }

  /// What was done for other inputs or options is not used, and the user hears why.
  @Test func startsOverWhereSomethingChanged() throws {
    try withTemporaryDirectory { directory in
      let options = try Self.options(directory, "out", valueBytes: nil)
      func stop(_ options: PreprocessOptions) throws -> [String] {
        var notices: [String] = []
        #expect(throws: Stop.self) {
          try preprocess(options, notice: { notices.append($0) }) { _ in throw Stop() }
        }
        return notices
      }
      #expect(try stop(options).isEmpty)
      #expect(try stop(options) == ["going on where an earlier run stopped"])
      var other = options
      other.minimumCount = 2
      #expect(try stop(other).first?.contains("another --min-count") == true)
      #expect(try stop(options).first?.contains("another --min-count") == true)
      let handle = try #require(FileHandle(forWritingAtPath: options.inputs[1]))
      try handle.seekToEnd()
      try handle.write(contentsOf: Data("\n".utf8))
      try handle.close()
      #expect(try stop(options).first?.contains("has changed") == true)
      other = options
      other.inputs.removeLast()
      #expect(try stop(other).first?.contains("other inputs") == true)
      // The threads do not matter.
      other.threads = 2
      #expect(try stop(other) == ["going on where an earlier run stopped"])
      // A finished output is refused, and left as it is.
      _ = try preprocess(other)
      let files = try InputTests.files(other.output)
      #expect(throws: ChanterError.self) { try preprocess(other) }
      let isUnchanged = try InputTests.files(other.output) == files
      #expect(isUnchanged)
    }
  }
}
