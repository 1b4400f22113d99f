import CLMDB
import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// The dense record in parts of a page.
@Suite struct DensePartsTests {
  private static let layout = testLayout()
  /// Three parts: 4,064 + 4,064 + 872 bytes.
  private static let dense = (0..<9000).map { UInt8(truncatingIfNeeded: $0 * $0) }

  private func withStore(_ body: (ModelStore) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let store = try makeStore(directory.appendingPathComponent("model").path, Self.layout, dense: [])
      try commit(store, [], dense: Self.dense, cursor: 1)
      try body(store)
    }
  }

  private func read(_ store: ModelStore) throws -> [UInt8] {
    let snapshot = try Snapshot(store)
    var dense = [UInt8](repeating: 0, count: snapshot.state.denseBytes)
    try dense.withUnsafeMutableBytes { try snapshot.readDense(into: $0) }
    return dense
  }

  /// Replaces part `number` by one that passes its checksum.
  private func forge(_ store: ModelStore, _ number: UInt64, count: Int, commit: UInt64) throws {
    try store.environment.write { transaction in
      let value = try transaction.reserve(store.databases.dense, number, count: 16 + count, "forge a part")
      value.initializeMemory(as: UInt8.self, repeating: 0)
      value.storeBytes(of: commit.littleEndian, toByteOffset: 8, as: UInt64.self)
      Seal.close(value, .densePart(number))
    }
  }

  @Test(arguments: [0, 1, 4063, 4064, 4065, 8128, 9000]) func everySizeComesBack(count: Int) throws {
    try withStore { store in
      let dense = Array(Self.dense.prefix(count))
      let result = try commit(store, [], dense: dense, cursor: 2)
      #expect(result.bytesWritten == count + 16 * ((count + 4063) / 4064) + 32)
      #expect(try read(store) == dense)
    }
  }

  @Test func aPartThatDoesNotBelongIsNamed() throws {
    let faults: [(part: UInt64, count: Int, commit: UInt64, says: String)] = [
      (1, 4064, 0, "part 1 is of commit 0, not of 1"), (1, 4000, 1, "length of part 1"),
      (2, 873, 1, "length of part 2"), (3, 1, 1, "4 parts for 9000 bytes"),
    ]
    for fault in faults {
      try withStore { store in
        #expect(try read(store) == Self.dense)
        try forge(store, fault.part, count: fault.count, commit: fault.commit)
        let error = message { _ = try read(store) }
        #expect(error?.kind == .corrupt)
        #expect(error?.message.contains(fault.says) == true, "\(fault.says)")
      }
    }
  }

  @Test func aLostPartIsNamed() throws {
    try withStore { store in
      try store.environment.write { transaction in
        let cursor = try Cursor(transaction.handle, store.databases.dense, path: store.path)
        _ = try cursor.move(MDB_FIRST, path: store.path)
        try check(mdb_cursor_del(cursor.handle, 0), "delete a part", path: store.path)
      }
      #expect(message { _ = try read(store) }?.message.contains("2 parts for 9000 bytes") == true)
      try forge(store, 7, count: 10, commit: 1)
      #expect(message { _ = try read(store) }?.message.contains("part 0 is missing") == true)
    }
  }

  /// A record of 2 MB beside a few rows, in blocks of one page and of four: a longer run of pages would be found only at the end of
  /// the file.
  @Test(arguments: [16, 128]) func theFileDoesNotGrowByTheRecord(dimension: Int) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      let layout = testLayout(dimension: dimension)
      let dense = [UInt8](repeating: 3, count: 2 << 20)
      let store = try makeStore(path, layout, dense: dense)
      for round in 1...20 as ClosedRange<UInt64> {
        let rows = randomRows(CounterRandom(seed: round, stream: 5), count: 200, layout)
        try commit(store, rows, dense: dense, cursor: round)
        if round % 4 == 0 { try compactAll(store) }
      }
      let size = try #require(
        try FileManager.default.attributesOfItem(atPath: path + "/data.mdb")[.size] as? Int)
      let live = try ModelStore.examine(at: path, found: { _ in }).bytes
      // The record being written, the one that the commit before it freed, and the one that is valid.
      #expect(size < live + 2 * dense.count + 2 << 20)
    }
  }
}
