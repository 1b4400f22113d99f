import BatchStore
import Foundation
import Primitives
import TableStore
import TestSupport
import Testing

@testable import Training

/// Training that goes on with what was appended to its dataset.
@Suite struct ExtensionTests {
  /// The tables as they are with the first part, and with the second.
  private static let grown = SmallDataset.tables.map { TableLayout(name: $0.name, rows: $0.rows + 700) }

  private static func write(_ directory: URL) throws -> (old: String, new: String) {
    let paths = ["old", "new"].map { directory.appendingPathComponent($0).path }
    try SmallDataset.write(to: paths[0], batches: 7, batchSize: 16)
    try SmallDataset.write(
      to: paths[1], batches: 9, batchSize: 16, seed: 2, tables: grown, extending: Dataset(opening: paths[0]))
    return (paths[0], paths[1])
  }

  /// The old data, then the rest, in pieces: bit for bit what the plain trainer makes of all of it from the start.
  @Test(arguments: [("rowwise_adagrad", "adagrad", 1), ("adam", "adam", 4)])
  func goingOnIsExact(rows: String, dense: String, lookahead: Int) throws {
    try withTemporaryDirectory { directory in
      let data = try Self.write(directory)
      let configuration = SmallDataset.configuration(rows: rows, dense: dense, lookahead: lookahead)
      for (commitInterval, pieces) in [(64, [7]), (3, [4, 7, 11]), (2, [5])] {
        let model = directory.appendingPathComponent("model-\(commitInterval)").path
        let old = try Harness(data.old, configuration, commitInterval: commitInterval)
        let new = try Harness(data.new, configuration, commitInterval: commitInterval)
        #expect(new.dataset.manifest.train.batches == 16)
        for end in pieces { try (end <= 7 ? old : new).train(model, until: end) }
        #expect(try Harness.digest(model) == (pieces.last! <= 7 ? old : new).plainDigest(pieces.last!))
        try new.train(model, until: 16)
        #expect(try Harness.digest(model) == new.plainDigest(16))
        // Into a second epoch, which begins with the old batches.
        try new.train(model, until: 20)
        #expect(try Harness.digest(model) == new.plainDigest(20))
        let store = try ModelStore.openForReading(at: model)
        #expect(store.layout == new.setup.rowLayout && store.layout.tables == Self.grown)
        #expect(try ModelHeader(store.header, path: model).dataset.ancestors.count == 1)
      }
    }
  }

  @Test func whatDoesNotGoOnIsTold() throws {
    func message(_ body: () throws -> Void) -> String {
      #expect(throws: ChanterError.self) { try body() }?.message ?? ""
    }
    try withTemporaryDirectory { directory in
      let data = try Self.write(directory)
      let configuration = SmallDataset.configuration()
      let (old, new) = (try Harness(data.old, configuration), try Harness(data.new, configuration))
      let longer = directory.appendingPathComponent("longer").path
      try old.train(longer, until: 8)
      let before = try Harness.digest(longer)
      #expect(message { try new.train(longer, until: 16) }.contains("more than one epoch (7)"))
      // It is still a model of the old data.
      try old.train(longer, until: 8)
      #expect(try Harness.digest(longer) == before)
      let model = directory.appendingPathComponent("model").path
      try new.train(model, until: 3)
      #expect(message { try old.train(model, until: 7) }.contains("numbers its values in another way"))
    }
  }

  /// Rows that a model does not have are unseen values to it; rows that only its dataset has do not matter.
  @Test func eitherIsScoredByAModelOfTheOther() throws {
    try withTemporaryDirectory { directory in
      let data = try Self.write(directory)
      let configuration = SmallDataset.configuration()
      let (old, new) = (try Harness(data.old, configuration), try Harness(data.new, configuration))
      let (first, second) = (
        directory.appendingPathComponent("first").path, directory.appendingPathComponent("second").path
      )
      try old.train(first, until: 7)
      try new.train(second, until: 16)
      func scores(_ model: String, _ data: Dataset) throws -> [Float] {
        var all: [Float] = []
        try Scorer(modelPath: model, threads: 1).score(data, split: .holdout, memory: nil) { batch, scores in
          all += (0..<batch.sampleCount).map { scores[$0] }
        }
        return all
      }
      // The old held-out samples come first in the new dataset.
      #expect(try scores(first, new.dataset).starts(with: scores(first, old.dataset)))
      #expect(try scores(second, new.dataset).starts(with: scores(second, old.dataset)))
      #expect(try scores(second, new.dataset).count == 64)
      let other = directory.appendingPathComponent("other").path
      try SmallDataset.write(to: other, batches: 2, batchSize: 16, seed: 5, tables: Self.grown)
      #expect(throws: ChanterError.self) { try scores(first, Dataset(opening: other)) }
    }
  }
}
