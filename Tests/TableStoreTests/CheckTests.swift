import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

/// `examine` finds all damage at once, and a copy is the same model without gaps.
@Suite struct CheckTests {
  private static let layout = testLayout()
  private static let dense = Array("the dense parameters of this model".utf8)
  private static let header = Array("the header of this model".utf8)

  /// A closed model with many blocks and, after the compaction, chunks of two commits.
  /// - Returns: the number of these chunks.
  @discardableResult
  private func makeModel(_ path: String) throws -> Int {
    var chunks = 0
    let header = String(decoding: Self.header, as: UTF8.self)
    let store = try makeStore(path, Self.layout, dense: [], header: header)
    for cursor in 1...3 as ClosedRange<UInt64> {
      let rows = randomRows(CounterRandom(seed: cursor, stream: 3), count: 400, Self.layout)
      let result = try commit(store, rows, dense: Self.dense, cursor: cursor)
      if cursor == 1 { try compactAll(store) } else { chunks += result.chunks }
    }
    return chunks
  }

  private func damages(_ path: String) throws -> (found: [Damage], result: CheckResult) {
    var found: [Damage] = []
    let result = try ModelStore.examine(at: path, found: { found.append($0) })
    return (found, result)
  }

  @Test func aSoundModelHasNoDamage() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      let chunks = try makeModel(path)
      let (found, result) = try damages(path)
      #expect(found.isEmpty)
      #expect(result.state?.cursor == 3 && result.blocks > 100 && result.chunks == chunks && chunks > 2)
      #expect(result.bytes > result.blocks * 4080)
    }
  }

  /// Several flipped bytes in blocks of two tables and in a chunk, and a wrong page header: each is named, once.
  @Test func allDamageIsFound() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      var offsets: [Int] = []
      var expected: [Damage.Part] = [.chunk]
      var rows: [ClosedRange<UInt32>] = []
      do {
        let store = try ModelStore.openForReading(at: path)
        let transaction = try ReadTransaction(store.environment)
        var scan = BlockScan(store, transaction: transaction.handle)
        var number = 0
        while let entry = try scan.peek() {
          scan.advance()
          if number % 40 == 3 {
            let start = try offset(of: entry.bytes)
            // A byte of a row; for one of them the page count in LMDB's header before it.
            offsets.append(number == 43 ? start - 4 : start + 1000 + number)
            expected.append(.block)
            rows.append(store.geometry.rows(of: entry.block))
          }
          number += 1
        }
        let chunk = try #require(
          try transaction.get(store.databases.chunks, Chunk.key(commit: 3, sequence: 0)))
        offsets.append(try offset(of: chunk) + 3000)
      }
      try flip(path, at: offsets)
      let (found, result) = try damages(path)
      #expect(found.map(\.part).sorted { $0.rawValue > $1.rawValue } == expected)
      #expect(found.compactMap(\.rows) == rows)
      #expect(found.filter { $0.part == .block }.allSatisfy { $0.table != nil })
      #expect(found.first { $0.part == .chunk }?.message.contains("commit 3") == true)
      #expect(result.state?.cursor == 3)
    }
  }

  @Test func aDamagedTreeDoesNotHideTheOthers() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      let chunks = try makeModel(path)
      let blocks = try damages(path).result.blocks
      var root = 0
      do {
        let store = try ModelStore.openForReading(at: path)
        let transaction = try ReadTransaction(store.environment)
        let descriptor = try File(reading: path + "/data.mdb")
        let meta = try MetaPage.readBoth(descriptor.descriptor, path: path).max {
          $0.transaction < $1.transaction
        }
        // The record of table C2 lies in a leaf of the main tree, right after its name.
        let leaf = AlignedBuffer<UInt8>(count: 4096)
        try descriptor.read(at: Int(try #require(meta).main.root) * 4096, into: leaf.base, count: 4096)
        let name = try #require(Data(leaf.rawBytes).range(of: Data("table.C2".utf8)))
        root = Int(TreeRecord(leaf.rawBytes, at: name.upperBound).root)
        _ = transaction
      }
      try flip(path, at: [root * 4096 + 10])
      let (found, result) = try damages(path)
      #expect(found.map(\.part) == [.index] && found[0].table == "C2")
      #expect(result.blocks > 0 && result.blocks < blocks && result.chunks == chunks && chunks > 2)
    }
  }

  @Test func recordsThatAreDamaged() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      let file = URL(fileURLWithPath: path + "/data.mdb")
      let good = try Data(contentsOf: file)
      func damage(_ text: [UInt8]) throws -> [Damage.Part] {
        var data = good
        var from = data.startIndex
        while let range = data.range(of: Data(text), in: from..<data.endIndex) {
          data[range.lowerBound + 3] ^= 1
          from = range.upperBound
        }
        #expect(data != good)
        try data.write(to: file)
        return try damages(path).found.map(\.part)
      }
      #expect(try damage(Self.dense) == [.dense])
      #expect(try damage(Self.header) == [.header])
      try good.prefix(good.count / 2).write(to: file)
      #expect(try damages(path).found.contains { $0.part == .index })
    }
  }

  @Test func aCopyIsTheSameModelWithoutGaps() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      try makeModel(path)
      let copy = directory.appendingPathComponent("copy").path
      try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
      let digest: String
      do {
        // Commits that come after the snapshot do not show in the copy.
        let store = try ModelStore.openForTraining(at: path)
        let snapshot = try Snapshot(store)
        digest = try snapshot.digest()
        try commit(
          store, [(RowKey(table: 0, row: 0), [Float](repeating: 9, count: 17))], dense: [], cursor: 9)
        try compactAll(store)
        #expect(try snapshot.copy(to: copy) > 100)
      }
      let (found, result) = try damages(copy)
      #expect(found.isEmpty && result.chunks == 0 && result.state?.cursor == 3 && result.state?.commit == 3)
      let store = try ModelStore.openForTraining(at: copy)
      #expect(store.layout == Self.layout)
      #expect(try Snapshot(store).digest() == digest)
      let size = try #require(
        try FileManager.default.attributesOfItem(atPath: copy + "/data.mdb")[.size] as? Int)
      #expect(Double(size) < 1.1 * Double(result.bytes))
      try commit(store, [(RowKey(table: 1, row: 5), [Float](repeating: 1, count: 17))], dense: [], cursor: 4)
      #expect(try store.readState().commit == 4)
    }
  }

  /// A reader that was killed must not make the file of a trainer that goes on grow.
  @Test func killedReadersAreForgotten() async throws {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("chanter-test-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.path
    let layout = Self.layout
    let store = try makeStore(path, layout, dense: [])
    func churn(_ rounds: Int) throws -> Int {
      for _ in 0..<rounds {
        let rows = (0..<UInt32(3000)).map { (RowKey(table: 0, row: $0), [Float](repeating: 1, count: 17)) }
        try commit(store, rows, dense: [], cursor: 1)
        try compactAll(store)
      }
      return try #require(try FileManager.default.attributesOfItem(atPath: path + "/data.mdb")[.size] as? Int)
    }
    let before = try churn(5)
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let store = try ModelStore.openForReading(at: path)
      let snapshot = try Snapshot(store)
      kill(getpid(), SIGKILL)
      _ = snapshot.cursor
    }
    // A page or two of the list of free pages, not one copy of everything for each round.
    #expect(try churn(20) < before + before / 3)
  }
}
