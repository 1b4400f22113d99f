import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@Suite struct VocabularyTests {
  /// Values of many lengths, some not text; enough for several blocks of the file.
  static func values(_ count: Int, seed: UInt64) -> [[UInt8]] {
    let random = CounterRandom(seed: seed, stream: 4)
    return (0..<count).map { number in
      let own = CounterRandom(random, UInt64(number))
      let length = number % 97 == 0 ? Int(own.below(3000, 0)) : Int(own.below(12, 0))
      return Array("\(number):".utf8)
        + (0..<length).map { UInt8(truncatingIfNeeded: own.bits(UInt64($0 + 1))) }
    }
  }

  static func write(_ path: String, _ tables: [[[UInt8]]], parent: String? = nil) throws -> String {
    let writer = try VocabularyWriter(path, tableCount: tables.count, parent: parent)
    for (number, values) in tables.enumerated() {
      try writer.beginTable(TableLayout(name: "table \(number)", rows: UInt32(values.count + 2)))
      for value in values { try value.withUnsafeBytes { try writer.append($0) } }
    }
    return try writer.finish()
  }

  @Test func valuesComeBackInRowOrderAndByLookup() throws {
    let tables = [Self.values(9000, seed: 1), [], Self.values(3, seed: 2)]
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent(VocabularyFile.fileName).path
      let identity = try Self.write(path, tables)
      let vocabulary = try VocabularyFile.load(path)
      #expect(vocabulary.identity == identity && vocabulary.parent == nil)
      #expect(vocabulary.tables.map(\.rows) == [9002, 2, 5])
      for (table, values) in tables.enumerated() {
        for (number, value) in values.enumerated() {
          #expect(value.withUnsafeBytes { vocabulary.lookup(table: table, $0) } == UInt32(number + 2))
          #expect(vocabulary.value(table: table, row: UInt32(number + 2)).map(Array.init) == value)
        }
        #expect(vocabulary.lookup(table: table, UnsafeRawBufferPointer(start: nil, count: 0)) == 1)
        #expect([UInt8](arrayLiteral: 9).withUnsafeBytes { vocabulary.lookup(table: table, $0) } == 0)
        #expect(vocabulary.value(table: table, row: 1) == nil)
      }
    }
  }

  @Test func onePassFindsTheValuesOfSomeRowsAndTheRowOfAValue() throws {
    let tables = [Self.values(9000, seed: 1), [], Self.values(3, seed: 2)]
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent(VocabularyFile.fileName).path
      let identity = try Self.write(path, tables)
      func key(_ table: Int, _ row: UInt32) -> RowKey { RowKey(table: table, row: row) }
      let wanted = [key(0, 2), key(0, 9001), key(2, 4), key(0, 500), key(0, 1), key(1, 2), key(0, 9002)]
      let found = try VocabularyFile.values(of: wanted, in: path, identity: identity)
      #expect(
        found == [
          key(0, 2): tables[0][0], key(0, 9001): tables[0][8999], key(2, 4): tables[2][2],
          key(0, 500): tables[0][498],
        ])
      func row(_ value: [UInt8], _ table: Int) throws -> UInt32? {
        try VocabularyFile.row(of: value, table: table, in: path, identity: identity)
      }
      #expect(try row(tables[0][7000], 0) == 7002)
      #expect(try row(tables[2][1], 2) == 3)
      #expect(try row(tables[0][7000], 1) == nil)
      #expect(try row([], 0) == Vocabulary.emptyRow)
      let error = #expect(throws: ChanterError.self) {
        try VocabularyFile.values(of: wanted, in: path, identity: String(repeating: "0", count: 32))
      }
      #expect(error?.kind == .mismatch)
    }
  }

  @Test func theIdentityDependsOnOrderBytesAndParent() throws {
    try withTemporaryDirectory { directory in
      func identity(_ name: String, _ tables: [[[UInt8]]], parent: String? = nil) throws -> String {
        let path = directory.appendingPathComponent(name).path
        let identity = try Self.write(path, tables, parent: parent)
        #expect(try VocabularyFile.load(path).parent == parent)
        return identity
      }
      let first = try identity("a", [[[1], [2]], [[3]]])
      #expect(try identity("b", [[[1], [2]], [[3]]]) == first)
      let others = [
        try identity("c", [[[2], [1]], [[3]]]), try identity("d", [[[1], [2, 3]], []]),
        try identity("e", [[[1]], [[2], [3]]]), try identity("f", [[[1], [2]], [[3]]], parent: first),
      ]
      #expect(Set(others + [first]).count == 5)
    }
  }

  @Test func damageIsAnError() throws {
    try withTemporaryDirectory { directory in
      let file = directory.appendingPathComponent("values")
      _ = try Self.write(file.path, [Self.values(40, seed: 3), Self.values(7, seed: 4)])
      let original = try Data(contentsOf: file)
      for place in original.indices {
        var damaged = original
        damaged[place] ^= UInt8(1 << (place % 8))
        try damaged.write(to: file)
        let error = #expect(throws: ChanterError.self, "flip in byte \(place)") {
          try VocabularyFile.load(file.path)
        }
        #expect(error?.path == file.path && error?.offset != nil)
      }
      for length in stride(from: 0, to: original.count, by: 5) {
        try original.prefix(length).write(to: file)
        #expect(throws: ChanterError.self) { try VocabularyFile.load(file.path) }
      }
      try (original + Data([0])).write(to: file)
      #expect(throws: ChanterError.self) { try VocabularyFile.load(file.path) }
    }
  }

  @Test func aRepeatedValueIsAnError() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("values").path
      _ = try Self.write(path, [[[1], [2], [1]]])
      #expect(throws: ChanterError.self) { try VocabularyFile.load(path) }
    }
  }

  @Test func internNumbersByFirstAppearance() {
    let table = ValueTable()
    var reference: [[UInt8]: Int] = [:]
    let random = CounterRandom(seed: 1, stream: 1)
    for step in 0..<20_000 {
      let value = Array(String(random.below(3000, UInt64(step)), radix: 16).utf8)
      let expected = reference[value] ?? reference.count
      reference[value] = expected
      #expect(value.withUnsafeBytes { table.intern($0) } == expected)
    }
    #expect(table.count == reference.count)
  }

  /// Values are compared byte by byte: with fingerprints of two bits nearly all collide, and none share a number.
  @Test(arguments: [0, 3, .max] as [UInt64])
  func equalFingerprintsDoNotMakeTwoValuesOne(hashBits: UInt64) {
    let table = ValueTable(hashBits: hashBits)
    for round in 0..<2 {
      for number in 0..<500 {
        let value = Array("value \(number)".utf8)
        value.withUnsafeBytes {
          #expect(table.find($0) == (round == 0 ? nil : number))
          #expect(table.intern($0) == number)
        }
      }
    }
    #expect(table.count == 500)
  }
}
