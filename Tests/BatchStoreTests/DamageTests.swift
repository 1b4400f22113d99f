import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

/// Whatever happens to the bytes of a dataset, reading it gives an error with a path, or the right data; never other
/// data and never a crash.
@Suite struct DamageTests {
  static let tables = [TableLayout(name: "a", rows: 50), TableLayout(name: "b", rows: 2000)]

  func writeSmall(_ directory: URL) throws -> String {
    let path = directory.appendingPathComponent("data").path
    try writeDataset(
      to: path, tables: Self.tables, denseCount: 2, batchSize: 16,
      train: ReferenceSplit(samples: 60, tables: Self.tables, denseCount: 2, seed: 8),
      holdout: ReferenceSplit(samples: 5, tables: Self.tables, denseCount: 2, seed: 9))
    return path
  }

  /// The contents of every batch of both splits.
  func readAll(_ path: String) throws -> [[UInt64]] {
    let dataset = try Dataset(opening: path)
    return try Split.allCases.flatMap { split in
      let reader = try dataset.reader(split)
      let batch = Batch(layout: reader.layout)
      return try (0..<reader.batchCount).map { index in
        try reader.read(index, into: batch)
        return contents(of: batch)
      }
    }
  }

  func expectErrorOrSameData(_ path: String, _ expected: [[UInt64]], _ what: String) {
    do {
      let found = try readAll(path)
      #expect(found == expected, "wrong data after \(what)")
    } catch let error as ChanterError {
      #expect(error.path != nil && !error.message.isEmpty, "\(what): \(error)")
      #expect(error.kind != .broken, "\(what): \(error)")
    } catch {
      Issue.record("\(what): \(error)")
    }
  }

  @Test(arguments: ["train-00000.batches", "holdout-00000.batches", "manifest.json"])
  func aFlippedBitIsAnErrorOrHarmless(name: String) throws {
    try withTemporaryDirectory { directory in
      let path = try writeSmall(directory)
      let expected = try readAll(path)
      let file = URL(fileURLWithPath: "\(path)/\(name)")
      let original = try Data(contentsOf: file)
      let random = CounterRandom(seed: 11, stream: 1)
      for round in 0..<700 {
        var damaged = original
        let place = Int(random.below(UInt64(original.count), UInt64(2 * round)))
        damaged[place] ^= 1 << UInt8(random.below(8, UInt64(2 * round + 1)))
        try damaged.write(to: file)
        expectErrorOrSameData(path, expected, "flip in byte \(place) of \(name)")
      }
    }
  }

  @Test(arguments: ["train-00000.batches", "holdout-00000.batches", "manifest.json"])
  func aTruncatedFileIsAnError(name: String) throws {
    try withTemporaryDirectory { directory in
      let path = try writeSmall(directory)
      let file = URL(fileURLWithPath: "\(path)/\(name)")
      let original = try Data(contentsOf: file)
      for length in stride(from: 0, to: original.count, by: 17) {
        try original.prefix(length).write(to: file)
        #expect(throws: ChanterError.self) { try readAll(path) }
      }
      try FileManager.default.removeItem(at: file)
      #expect(throws: ChanterError.self) { try readAll(path) }
    }
  }

  @Test(arguments: ["train-00000.batches", "holdout-00000.batches", "manifest.json"])
  func randomBytesAreAnError(name: String) throws {
    try withTemporaryDirectory { directory in
      let path = try writeSmall(directory)
      let file = URL(fileURLWithPath: "\(path)/\(name)")
      let original = try Data(contentsOf: file)
      let random = CounterRandom(seed: 5, stream: 2)
      for round in 0..<50 {
        let own = CounterRandom(random, UInt64(round))
        let noise = Data((0..<original.count).map { UInt8(truncatingIfNeeded: own.bits(UInt64($0))) })
        try noise.write(to: file)
        #expect(throws: ChanterError.self) { try readAll(path) }
        // Noise from some byte on.
        let keep = Int(own.below(UInt64(original.count), 1_000_000))
        try (original.prefix(keep) + noise.dropFirst(keep)).write(to: file)
        #expect(throws: ChanterError.self) { try readAll(path) }
      }
    }
  }

  @Test func damageIsNamedWithPathAndOffset() throws {
    try withTemporaryDirectory { directory in
      let path = try writeSmall(directory)
      let file = URL(fileURLWithPath: "\(path)/train-00000.batches")
      let original = try Data(contentsOf: file)
      func error(_ change: (inout Data) -> Void) throws -> ChanterError? {
        var damaged = original
        change(&damaged)
        try damaged.write(to: file)
        return #expect(throws: ChanterError.self) { try readAll(path) }
      }
      // The first frame follows the 48-byte header; its lz4 data begins 32 bytes on.
      let frame = try error { $0[48 + 32 + 40] ^= 4 }
      #expect(frame?.kind == .corrupt && frame?.path == file.path && frame?.offset == 48)
      #expect(frame?.message.contains("batch 0") == true)
      let version = try error { $0[8] = 9 }
      #expect(version?.kind == .unsupported && version?.message.contains("version 9") == true)
      let magic = try error { $0[0] = 0 }
      #expect(magic?.message.contains("magic") == true && magic?.offset == 0)
      let short = try error { $0.removeLast(5) }
      #expect(short?.offset == original.count - 5 && short?.message.contains("truncated") == true)
    }
  }

  @Test func segmentsOfAnotherDatasetAreRefused() throws {
    try withTemporaryDirectory { directory in
      let path = try writeSmall(directory)
      let other = directory.appendingPathComponent("other").path
      // Same shapes and sizes of index, other samples.
      try writeDataset(
        to: other, tables: Self.tables, denseCount: 2, batchSize: 16,
        train: ReferenceSplit(samples: 60, tables: Self.tables, denseCount: 2, seed: 18),
        holdout: ReferenceSplit(samples: 5, tables: Self.tables, denseCount: 2, seed: 19))
      let name = "train-00000.batches"
      try FileManager.default.removeItem(atPath: "\(path)/\(name)")
      try FileManager.default.copyItem(atPath: "\(other)/\(name)", toPath: "\(path)/\(name)")
      #expect(throws: ChanterError.self) { try readAll(path) }
    }
  }

  @Test func aDirectoryWithoutManifestIsNoDataset() throws {
    try withTemporaryDirectory { directory in
      let none = #expect(throws: ChanterError.self) { try Dataset(opening: directory.path) }
      #expect(none?.kind == .badInput)
      let missing = #expect(throws: ChanterError.self) { try Dataset(opening: directory.path + "/none") }
      #expect(missing?.kind == .badInput)
    }
  }
}
