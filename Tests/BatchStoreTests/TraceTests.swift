import Foundation
import Primitives
import TestSupport
import Testing

@testable import BatchStore

@Suite struct TraceTests {
  @Test func nextUseIsExactThenLogarithmic() {
    #expect(NextUse.encode(distance: 0) == 0)
    for distance in 0...32_767 {
      #expect(NextUse.distance(NextUse.encode(distance: distance)) == distance)
    }
    var previous: UInt16 = 0
    var distance = 32_768
    while distance < 1 << 31 {
      let code = NextUse.encode(distance: distance)
      let decoded = NextUse.distance(code)
      #expect(code >= previous && decoded <= distance && distance - decoded <= distance / 2048)
      previous = code
      distance += distance / 3000
    }
    #expect(NextUse.distance(.max) == 4095 << 19)
    #expect(NextUse.encode(distance: .max) == .max)
  }

  @Test func everyCodeStandsForItsOwnDistance() {
    for code in UInt16.min...UInt16.max { #expect(NextUse.encode(distance: NextUse.distance(code)) == code) }
  }

  /// Next uses, first touches and unions of random traces against the plain definition, in one partition and in many.
  @Test(arguments: [(1, 1), (2, 3), (5, 4), (16, 10), (33, 2), (40, 30)], [1 << 20, 64, 7])
  func hintsMatchTheNaiveOnes(shape: (Int, Int), rowsPerPartition: Int) throws {
    let (batches, batchSize) = shape
    let tables = [TableLayout(name: "a", rows: 40), TableLayout(name: "b", rows: 300)]
    let samples = batches * batchSize - batchSize / 2
    let train = ReferenceSplit(
      samples: samples, tables: tables, denseCount: 0, seed: UInt64(batches * 100 + batchSize))
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let manifest = try writeDataset(
        to: path, tables: tables, denseCount: 0, batchSize: batchSize, train: train,
        holdout: ReferenceSplit(samples: 0, tables: tables, denseCount: 0, seed: 0),
        rowsPerPartition: rowsPerPartition)
      let used = stride(from: 0, to: samples, by: batchSize).map { start in
        Set(
          train.rows[start..<min(start + batchSize, samples)].flatMap { rows in
            rows.enumerated().map { RowKey(table: $0, row: $1) }
          })
      }
      #expect(used.count == batches)
      let dataset = try Dataset(opening: path)
      let reader = try dataset.reader(.train)
      let batch = Batch(layout: reader.layout)
      for index in 0..<batches {
        try reader.read(index, into: batch)
        #expect(Set(batch.keys.prefix(batch.uniqueCount)) == used[index])
        for position in 0..<batch.uniqueCount {
          let key = batch.keys[position]
          let distance = (1...batches).first { used[(index + $0) % batches].contains(key) }
          #expect(NextUse.distance(batch.nextUse[position]) == distance)
          #expect((batch.firstTouch[position] == 1) == !used[..<index].contains { $0.contains(key) })
        }
      }
      var unions: [Int] = []
      var length = 1
      while length <= batches {
        unions.append(
          (0..<batches).map { start in
            Set((start..<start + length).flatMap { used[$0 % batches] }).count
          }.max() ?? 0)
        length *= 2
      }
      #expect(manifest.train.largestUnions == unions)
      #expect(manifest.train.maximumUniqueRows == unions[0])
    }
  }

  /// The same for a trace that is longer than every window and every block in memory.
  @Test(arguments: [30, 1 << 20])
  func longTracesMatchToo(rowsPerPartition: Int) throws {
    let batches = 4300
    let rows = 100
    let random = CounterRandom(seed: 3, stream: 1)
    let used = (0..<batches).map { batch -> [Int] in
      // Some rows come again at once, some after thousands of batches.
      let share = random.uniform(UInt64(50_000 + batch / 900)) * Double(rows)
      let drawn = (0..<3).map { Int(random.uniform(UInt64(3 * batch + $0)) * share) }
      return Set(drawn).sorted()
    }
    try withTemporaryDirectory { directory in
      let pass = try NextUsePass(
        directory: directory.path, tables: [TableLayout(name: "a", rows: UInt32(rows))],
        rowsPerPartition: rowsPerPartition)
      for rows in used {
        let keys = rows.map { RowKey(table: 0, row: UInt32($0)) }
        try keys.withUnsafeBufferPointer { keys in
          if let base = keys.baseAddress { try pass.append(base, count: keys.count) }
        }
      }
      let unions = try pass.solve()
      #expect(unions == (0..<13).map { Self.largestUnion(of: used, rows: rows, length: 1 << $0) })
      var next = [Int](repeating: 0, count: rows)
      for batch in (0..<batches).reversed() { for row in used[batch] { next[row] = batch + batches } }
      var expected: [[UInt16]] = []
      for batch in (0..<batches).reversed() {
        expected.append(used[batch].map { NextUse.encode(distance: next[$0] - batch) })
        for row in used[batch] { next[row] = batch }
      }
      let (codes, flags) = (GrowableBuffer<UInt16>(), GrowableBuffer<UInt8>())
      var seen = Set<Int>()
      for batch in 0..<batches {
        try pass.next(nextUse: codes, firstTouch: flags)
        let found = Array(UnsafeBufferPointer(start: codes.base, count: codes.count))
        #expect(found == expected[batches - 1 - batch])
        #expect(
          UnsafeBufferPointer(start: flags.base, count: flags.count).elementsEqual(
            used[batch].map { seen.insert($0).inserted ? 1 : 0 }))
      }
    }
  }

  /// Thousands of partitions, as a log of billions of values has them: one open file, 64 bytes each, and the same hints as with
  /// one. A few batches use so many rows of a partition that their pieces span blocks.
  @Test func manyPartitionsTakeOneDescriptor() throws {
    let (rows, most) = (17_000, NextUsePass.mostPartitions)
    let tables = [TableLayout(name: "a", rows: 3), TableLayout(name: "b", rows: UInt32(rows))]
    let random = CounterRandom(seed: 5, stream: 1)
    let used = (0..<12).map { batch -> [RowKey] in
      let share = [0.02, 0.9, 0.001][batch % 3]
      return [RowKey(table: 0, row: UInt32(batch % 3))]
        + (0..<rows).filter { random.uniform(UInt64(batch * rows + $0)) < share }
        .map { RowKey(table: 1, row: UInt32($0)) }
    }
    try withTemporaryDirectory { directory in
      func hints(rowsPerPartition: Int) throws -> (unions: [Int], codes: [[UInt16]], flags: [[UInt8]]) {
        let pass = try NextUsePass(
          directory: directory.path, tables: tables, rowsPerPartition: rowsPerPartition)
        for keys in used {
          try keys.withUnsafeBufferPointer { try pass.append($0.baseAddress!, count: $0.count) }
        }
        // Links of this process to files in a directory of this test alone.
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
          let name = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
          return name?.contains(directory.lastPathComponent) == true
        }
        #expect(open.count == 1)
        let unions = try pass.solve()
        try pass.skip(2)
        let (codes, flags) = (GrowableBuffer<UInt16>(), GrowableBuffer<UInt8>())
        var found: (codes: [[UInt16]], flags: [[UInt8]]) = ([], [])
        for batch in 2..<used.count {
          try pass.next(nextUse: codes, firstTouch: flags)
          #expect(codes.count == used[batch].count)
          found.codes.append(Array(UnsafeBufferPointer(start: codes.base, count: codes.count)))
          found.flags.append(Array(UnsafeBufferPointer(start: flags.base, count: flags.count)))
        }
        return (unions, found.codes, found.flags)
      }
      let expected = try hints(rowsPerPartition: 1 << 20)
      for rowsPerPartition in [3, 9_000] {
        #expect(try hints(rowsPerPartition: rowsPerPartition) == expected)
      }
      #expect(NextUsePass.partitionBytes <= 64)
      // More would not stay within what the budget leaves for them.
      let error = #expect(throws: ChanterError.self) { try hints(rowsPerPartition: rows / most) }
      #expect(error?.kind == .budget && error?.message.contains("--memory 2 times") == true)
    }
  }

  private static func largestUnion(of used: [[Int]], rows: Int, length: Int) -> Int {
    var counts = [Int](repeating: 0, count: rows)
    var distinct = 0
    var largest = 0
    for batch in 0..<used.count + length {
      for row in used[batch % used.count] {
        counts[row] += 1
        if counts[row] == 1 { distinct += 1 }
      }
      if batch >= length {
        for row in used[batch - length] {
          counts[row] -= 1
          if counts[row] == 0 { distinct -= 1 }
        }
      }
      if batch >= length - 1 { largest = max(largest, distinct) }
    }
    return largest
  }
}
