import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// What is done to the bytes of a closed model must come back as an error that says where and what to do.
@Suite struct DamageTests {
  private static let layout = testLayout()
  /// Bytes that no other value of the file has.
  private static let dense = Array("the dense parameters".utf8)

  /// A closed model with one compacted and one uncompacted commit; row 5 of table C1 lies in a block, row 7 in a chunk.
  private func makeModel(_ path: String) throws {
    let store = try makeStore(path, Self.layout, dense: [], header: "{\"trainer\": \"header text\"}")
    try commit(store, [(RowKey(table: 0, row: 5), row(12_345.678))], dense: [], cursor: 3)
    try compactAll(store)
    try commit(store, [(RowKey(table: 2, row: 7), row(-98_765.43))], dense: Self.dense, cursor: 4)
  }

  private func row(_ value: Float) -> [Float] { [Float](repeating: value, count: Self.layout.rowFloats) }

  private func bytes(_ value: Float) -> Data {
    row(value).withUnsafeBytes { Data($0) }
  }

  /// Changes one byte at every place where `pattern` occurs in data.mdb (stale pages included).
  private func damage(_ path: String, _ pattern: Data) throws {
    let file = URL(fileURLWithPath: path + "/data.mdb")
    var data = try Data(contentsOf: file)
    var from = data.startIndex
    var found = 0
    while let range = data.range(of: pattern, in: from..<data.endIndex) {
      data[range.lowerBound + 2] ^= 0x10
      from = range.upperBound
      found += 1
    }
    #expect(found > 0)
    try data.write(to: file)
  }

  private func readAll(_ path: String) throws {
    let store = try ModelStore.openForReading(at: path)
    let snapshot = try Snapshot(store)
    _ = try snapshot.digest()
  }

  @Test func blockIsNamed() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      try damage(path, bytes(12_345.678))
      let error = try #require(message { try readAll(path) })
      #expect(error.kind == .corrupt)
      #expect(error.path == path)
      #expect(error.message.contains("rows 0 to 58 of table C1"))
      #expect(error.message.contains("chanter check"))
      // The fetcher and a compaction see it too; rows of other blocks can still be had.
      let store = try ModelStore.openForTraining(at: path)
      let fetcher = try store.makeFetcher(maximumRows: 1)
      #expect(message { _ = try fetched([5], Self.layout, fetcher.fetch) }?.kind == .corrupt)
      #expect(try fetched([100], Self.layout, fetcher.fetch).blocks == 1)
      try commit(store, [(RowKey(table: 0, row: 6), row(1))], dense: [], cursor: 5)
      #expect(message { try compactAll(store) }?.kind == .corrupt)
      #expect(try store.readState().cursor == 5)
    }
  }

  @Test func chunkIsNamed() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      try damage(path, bytes(-98_765.43))
      let error = try #require(message { try readAll(path) })
      #expect(error.kind == .corrupt)
      #expect(error.message.contains("commit 2"))
      #expect(error.message.contains("row 7 of table C3"))
      let store = try ModelStore.openForTraining(at: path)
      #expect(message { try compactAll(store) }?.kind == .corrupt)
      let snapshot = try Snapshot(store)
      let key = RowKey(table: 2, row: 7)
      #expect(message { _ = try fetched([key], Self.layout, snapshot.fetch) }?.kind == .corrupt)
    }
  }

  @Test func denseRecordIsNamed() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      try damage(path, Data(Self.dense))
      let error = try #require(message { try readAll(path) })
      #expect(error.kind == .corrupt)
      #expect(error.message.contains("the dense record is damaged (checksum of part 0)"))
    }
  }

  @Test func headerIsNamed() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      try damage(path, Data("header text".utf8))
      let error = try #require(message { try readAll(path) })
      #expect(error.kind == .corrupt)
      #expect(error.message.contains("header record"))
      #expect(message { _ = try makeStore(path, Self.layout, dense: []) }?.kind == .exists)
    }
  }

  @Test func denseRecordOfAnotherSizeIsRefused() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      let store = try ModelStore.openForReading(at: path)
      var dense = [UInt8](repeating: 0, count: Self.dense.count + 1)
      let error = message { _ = try dense.withUnsafeMutableBytes { try store.readState(dense: $0) } }
      #expect(error?.kind == .mismatch)
    }
  }

  /// A newer program's value passes its checksum and says its version.
  @Test func newerFormatIsUnsupported() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      let store = try makeStore(path, Self.layout, dense: [])
      try store.environment.write { transaction in
        let record = try transaction.reserve(store.databases.meta, Record.state.key, count: 32)
        StateRecord.write(CommitState(commit: 0, cursor: 0, denseBytes: 0), into: record)
        record.storeBytes(of: 4, toByteOffset: 4, as: UInt16.self)
        let place: [UInt64] = [2, Record.state.rawValue]
        let seed = place.withUnsafeBytes { CRC32C.checksum($0) }
        let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(record)[4...])
        record.storeBytes(of: CRC32C.checksum(rest, seed: seed), as: UInt32.self)
      }
      #expect(message { _ = try store.readState() }?.kind == .unsupported)
    }
  }

  /// Wherever the file is cut, opening or reading says so.
  @Test func truncatedFile() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      let file = URL(fileURLWithPath: path + "/data.mdb")
      let whole = try Data(contentsOf: file)
      #expect(message { try readAll(path) } == nil)
      for size in stride(from: 1, to: whole.count, by: 1500) {
        try whole.prefix(size).write(to: file)
        let error = message { try readAll(path) }
        #expect(error?.kind == .corrupt, "cut at \(size) of \(whole.count)")
      }
      try Data().write(to: file)
      #expect(message { try readAll(path) }?.kind == .io)
    }
  }

  /// One changed byte anywhere in the file: an error, or the same digest where the byte means nothing; or the state
  /// of the commit before, when the newest meta page was hit. Never a crash.
  @Test(arguments: 0..<4) func anyByte(part: Int) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      let file = URL(fileURLWithPath: path + "/data.mdb")
      let whole = try Data(contentsOf: file)
      let digest = try Snapshot(ModelStore.openForReading(at: path)).digest()
      let random = CounterRandom(seed: 3, stream: UInt64(part))
      var found = 0
      for trial in 0..<UInt64(100) {
        let page = Int(random.below(UInt64(whole.count / 4096), 3 * trial))
        // The start of a page, where its structure is, as often as the rest.
        let place = Int(random.below(trial % 2 == 0 ? 160 : 4096, 3 * trial + 1))
        var data = whole
        data[page * 4096 + place] ^= UInt8(1 << random.below(8, 3 * trial + 2))
        try data.write(to: file)
        var seen = ""
        let error = message { seen = try Snapshot(ModelStore.openForReading(at: path)).digest() }
        if error != nil { found += 1 } else if page >= 2 { #expect(seen == digest) }
        // Writing on top of it is an error or works, and never a crash.
        _ = message {
          let store = try ModelStore.openForTraining(at: path)
          try compactAll(store)
          try commit(store, [(5, row(1))], dense: [], cursor: 9)
          try compactAll(store)
        }
      }
      #expect(found > 0)
    }
  }

  @Test func randomBytesAreNoModel() throws {
    try withTemporaryDirectory { directory in
      let random = CounterRandom(seed: 4, stream: 4)
      let path = directory.path
      let bytes = (0..<UInt64(20_000)).map { UInt8(truncatingIfNeeded: random.bits($0)) }
      let file = URL(fileURLWithPath: path + "/data.mdb")
      try Data(bytes).write(to: file)
      for open in [ModelStore.openForReading, ModelStore.openForTraining] {
        let error = try #require(message { _ = try open(path) })
        #expect(error.kind == .corrupt)
        #expect(error.message.contains("not a model"))
      }
      #expect(message { _ = try makeStore(path, Self.layout, dense: []) }?.kind == .corrupt)
      #expect(try Data(contentsOf: file) == Data(bytes))
    }
  }

  @Test func directoryThatIsNoModel() throws {
    try withTemporaryDirectory { directory in
      #expect(try !ModelStore.exists(at: directory.path))
      #expect(try !ModelStore.exists(at: directory.path + "/missing"))
      let error = message { _ = try ModelStore.openForReading(at: directory.path) }
      #expect(error?.message.contains("no model is there") == true)
      try Data([1]).write(to: directory.appendingPathComponent("notes.txt"))
      #expect(message { _ = try makeStore(directory.path, Self.layout, dense: []) }?.kind == .exists)
      #expect(
        message { _ = try makeStore(directory.path + "/notes.txt", Self.layout, dense: []) }?.kind == .exists)
    }
  }
}
