import Foundation
import Primitives
import Testing

@testable import TableStore

/// The naive state that a store must agree with.
struct TruthModel {
  let layout: RowLayout
  var rows: [RowKey: [Float]] = [:]
  var dense: [UInt8]
  var cursor: UInt64 = 0

  func value(_ key: RowKey) -> [Float] { rows[key] ?? initial(key) }

  func initial(_ key: RowKey) -> [Float] {
    var row = [Float](repeating: .nan, count: layout.rowFloats)
    row.withUnsafeMutableBufferPointer {
      layout.fillInitial(table: key.table, row: key.row, into: $0.baseAddress!)
    }
    return row
  }

  func digest() -> String {
    var digest = ModelDigest(layout: layout)
    for key in rows.keys.sorted() { digest.add(key, rows[key]!) }
    return dense.withUnsafeBytes { digest.finish(dense: $0, cursor: cursor) }
  }
}

func testLayout(dimension: Int = 16, stateFloats: Int = 1) -> RowLayout {
  RowLayout(
    tables: [
      TableLayout(name: "C1", rows: 500), TableLayout(name: "C2", rows: 4_000_000_000),
      TableLayout(name: "C3", rows: 90),
    ],
    dimension: dimension, stateFloats: stateFloats, seed: 7)
}

func makeStore(
  _ path: String, _ layout: RowLayout, dense: [UInt8], header: String = "{}"
) throws -> ModelStore {
  try dense.withUnsafeBytes {
    try ModelStore.create(at: path, header: header, layout: layout, dense: $0, cursor: 0)
  }
}

/// Commits `rows` in the order given, which need not be sorted.
@discardableResult
func commit(
  _ store: ModelStore, _ rows: [(RowKey, [Float])], dense: [UInt8], cursor: UInt64
) throws -> CommitResult {
  let keys = rows.map(\.0)
  let values = rows.flatMap(\.1)
  let order = keys.indices.sorted { keys[$0] < keys[$1] }.map { UInt32($0) }
  return try dense.withUnsafeBytes {
    try store.commit(
      keys: keys, order: order, count: keys.count, rows: values, dense: $0, cursor: cursor)
  }
}

/// Rows of ascending `keys`, through `fetch` of a fetcher or a snapshot, into slots in reverse order.
func fetched(
  _ keys: [RowKey], _ layout: RowLayout,
  _ fetch: (UnsafePointer<RowKey>, Int, UnsafePointer<UInt32>, UnsafeMutablePointer<Float>) throws -> Int
) throws -> (rows: [[Float]], blocks: Int) {
  let slots = keys.indices.reversed().map { UInt32($0) }
  var flat = [Float](repeating: .nan, count: max(1, keys.count * layout.rowFloats))
  let blocks = try fetch(keys, keys.count, slots, &flat)
  let rows = slots.map { slot in
    Array(flat[Int(slot) * layout.rowFloats..<(Int(slot) + 1) * layout.rowFloats])
  }
  return (rows, blocks)
}

func bits(_ row: [Float]) -> [UInt32] { row.map(\.bitPattern) }

func compactAll(_ store: ModelStore, maximumBlocks: Int = 1000) throws {
  guard let compaction = try store.makeCompaction(maximumBlocks: maximumBlocks) else { return }
  while try !compaction.step() {}
}

/// Seeded rows to commit: clustered and scattered keys over all tables, the last row numbers included.
func randomRows(_ random: CounterRandom, count: Int, _ layout: RowLayout) -> [(RowKey, [Float])] {
  var seen = Set<RowKey>()
  var rows: [(RowKey, [Float])] = []
  for index in 0..<UInt64(count) {
    let draw = CounterRandom(random, index)
    let table = Int(draw.below(3, 0))
    let row: UInt32 =
      switch draw.below(4, 1) {
      case 0: UInt32(draw.below(90, 2))
      case 1: UInt32(draw.below(500, 2))
      case 2: UInt32.max - UInt32(draw.below(3, 2))
      default: UInt32(draw.below(1 << 32, 2))
      }
    let key = RowKey(table: table, row: row)
    if !seen.insert(key).inserted { continue }
    let values = (0..<layout.rowFloats).map { Float(draw.uniform(UInt64(10 + $0))) - 0.5 }
    rows.append((key, values))
  }
  return rows
}

func message(_ body: () throws -> Void) -> ChanterError? {
  do {
    try body()
    return nil
  } catch let error as ChanterError {
    return error
  } catch {
    Issue.record("unexpected error \(error)")
    return nil
  }
}

/// Where a value lies in data.mdb: LMDB writes the number of its page 16 bytes before a large value.
func offset(of value: UnsafeRawBufferPointer) throws -> Int {
  let base = try #require(value.baseAddress)
  return Int((base - 16).loadUnaligned(as: UInt64.self)) * 4096 + 16
}

/// Changes one bit of each of these bytes of a model's data.mdb.
func flip(_ model: String, at offsets: [Int]) throws {
  let file = try FileHandle(forUpdating: URL(fileURLWithPath: model + "/data.mdb"))
  for offset in offsets {
    try file.seek(toOffset: UInt64(offset))
    let byte = try #require(try file.read(upToCount: 1)?.first)
    try file.seek(toOffset: UInt64(offset))
    try file.write(contentsOf: Data([byte ^ 0x04]))
  }
  try file.close()
}
