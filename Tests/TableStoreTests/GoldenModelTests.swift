import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// A small model as an earlier build wrote it, in Golden, and the same history again. If these tests fail, the format
/// changed: models that users have cannot be read any more, and the version must go up.
@Suite struct GoldenModelTests {
  private static let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Golden/data.mdb")
  private static let layout = testLayout(dimension: 4)
  private static let blockKey = RowKey(table: 0, row: 3)
  private static let chunkKeys = [RowKey(table: 0, row: 3), RowKey(table: 1, row: 3_999_999_999)]

  private static func row(_ first: Float) -> [Float] { (0..<5).map { first + Float($0) } }

  /// One commit that is compacted, and one that stays in a chunk.
  private func write(_ path: String) throws -> ModelStore {
    let store = try makeStore(path, Self.layout, dense: [1, 2, 3], header: "{\"a\":1}")
    try commit(
      store, [(Self.blockKey, Self.row(1)), (RowKey(table: 2, row: 89), Self.row(10))], dense: [4, 5],
      cursor: 10)
    try compactAll(store)
    try commit(
      store, [(Self.chunkKeys[0], Self.row(-1)), (Self.chunkKeys[1], Self.row(0.5))], dense: [6, 7, 8, 9],
      cursor: 20)
    return store
  }

  /// Reading may write `lock.mdb`, so a copy is read.
  private func withFixture(_ body: (ModelStore) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      try FileManager.default.copyItem(at: Self.fixture, to: directory.appendingPathComponent("data.mdb"))
      try body(ModelStore.openForReading(at: directory.path))
    }
  }

  @Test func aModelOfAnEarlierBuildReadsTheSame() throws {
    try withTemporaryDirectory { directory in
      let new = try write(directory.appendingPathComponent("model").path)
      try withFixture { old in
        #expect(old.header == new.header && old.layout == new.layout)
        #expect(try old.readState() == CommitState(commit: 2, cursor: 20, denseBytes: 4))
        let snapshot = try Snapshot(old)
        #expect(try snapshot.digest() == Snapshot(new).digest())
        #expect(try old.storedSizes().blocks == new.storedSizes().blocks)
        #expect(try old.storedSizes().chunks.values == 1)
        var changed: [RowKey: [Float]] = [:]
        try snapshot.forEachChangedRow { changed[$0] = Array(UnsafeBufferPointer(start: $1, count: 5)) }
        #expect(
          changed == [
            Self.chunkKeys[0]: Self.row(-1), Self.chunkKeys[1]: Self.row(0.5),
            RowKey(table: 2, row: 89): Self.row(10),
          ])
      }
    }
  }

  /// The bytes by hand, at the offsets that Format.md gives.
  @Test func valuesLieWhereTheFormatSays() throws {
    try withFixture { store in
      let databases = store.databases
      // 204 rows of 20 bytes a block, so row 3 is in block 0; its newer value is in the chunk.
      let block = try StoredValue(store, databases.tables[0], 0)
      #expect(block.isSealed(0, 0))
      #expect(block.bytes.count == 4080 && block.floats(8 + 3 * 20) == Self.row(1))
      let last = try StoredValue(store, databases.tables[2], 0)
      #expect(last.isSealed(0, 2 << 32))
      #expect(last.floats(8 + 89 * 20) == Self.row(10))

      let key: UInt64 = 2 << 24
      let chunk = try StoredValue(store, databases.chunks, key)
      #expect(chunk.isSealed(1, key))
      #expect(chunk.bytes.count == 40 + 2 * (8 + 20))
      #expect(chunk.long(8) == Self.chunkKeys[0] && chunk.long(16) == Self.chunkKeys[1])
      #expect(chunk.short(24) == 2 && chunk.long(32) == 2)
      #expect(chunk.long(40) == Self.chunkKeys[0] && chunk.long(48) == Self.chunkKeys[1])
      #expect(chunk.floats(56) == Self.row(-1) && chunk.floats(76) == Self.row(0.5))

      let state = try StoredValue(store, record: "state")
      #expect(state.isSealed(2, 1))
      #expect(state.bytes.count == 32)
      #expect(state.long(8) == 2 && state.long(16) == 20 && state.long(24) == 4)
      let dense = try StoredValue(store, databases.dense, 0)
      #expect(dense.isSealed(3, 0))
      #expect(dense.long(8) == 2 && Array(dense.bytes[16...]) == [6, 7, 8, 9])
      let header = try StoredValue(store, record: "header")
      #expect(header.isSealed(2, 0))
      #expect(header.short(8) == 4 && header.short(12) == 1 && header.long(16) == 7)
      #expect(header.short(24) == 3)
      #expect(header.short(28) == 500 && header.short(32) == 4 && header.short(40) == 2)
      #expect(Float(bitPattern: header.short(36)) == (1 / Float(500)).squareRoot())
      #expect(Array(header.bytes[44..<46]) == Array("C1".utf8))
      #expect(Array(header.bytes.suffix(7)) == Array("{\"a\":1}".utf8))
    }
  }
}

/// A value as it lies in the file, read by offsets.
private struct StoredValue {
  let bytes: [UInt8]

  init(_ store: ModelStore, _ database: UInt32, _ key: UInt64) throws {
    bytes = try store.environment.read { Array(try #require(try $0.get(database, key))) }
  }

  init(_ store: ModelStore, record: String) throws {
    bytes = try store.environment.read { Array(try #require(try $0.get(store.databases.meta, record))) }
  }

  func long(_ offset: Int) -> UInt64 {
    bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
  }

  func short(_ offset: Int) -> UInt32 {
    bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
  }

  func floats(_ offset: Int) -> [Float] { (0..<5).map { Float(bitPattern: short(offset + 4 * $0)) } }

  /// Whether the seal is that of a value at this place: checksum, version 3, reserved zero.
  func isSealed(_ kind: UInt64, _ number: UInt64) -> Bool {
    var sealed: [UInt8] = []
    for part in [kind, number] { withUnsafeBytes(of: part.littleEndian) { sealed += Array($0) } }
    sealed += bytes[4...]
    return short(0) == sealed.withUnsafeBytes { CRC32C.checksum($0) } && short(4) == 3
  }
}
