import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

@Suite struct BulkLoadTests {
  private static let layout = RowLayout(
    tables: [TableLayout(name: "C1", rows: 1000), TableLayout(name: "C2", rows: 7)],
    dimension: 4, stateFloats: 1, seed: 3)

  /// Rows that were loaded read as they were made, whatever the transactions, and later commits win over them.
  @Test(arguments: [1, 3, 1000])
  func everyRowReadsAsItWasMade(blocksPerTransaction: Int) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      var truth = TruthModel(layout: Self.layout, dense: [1, 2])
      do {
        let store = try makeStore(path, Self.layout, dense: truth.dense)
        let blocks = try store.loadAll(blocksPerTransaction: blocksPerTransaction) {
          table, first, count, rows in
          for index in 0..<count {
            let key = RowKey(table: table, row: first + UInt32(index))
            var row = truth.initial(key)
            #expect(row == (0..<5).map { rows[index * 5 + $0] })
            row[4] = Float(key.row) + 0.5
            rows[index * 5 + 4] = row[4]
            truth.rows[key] = row
          }
        }
        let perBlock = store.geometry.rowsPerBlock
        #expect(blocks == (1000 + perBlock - 1) / perBlock + 1)
        #expect(truth.rows.count == 1007)
        let changed = RowKey(table: 1, row: 6)
        truth.rows[changed] = [1, 2, 3, 4, 5]
        truth.cursor = 9
        try commit(store, [(changed, [1, 2, 3, 4, 5])], dense: truth.dense, cursor: 9)
        try compactAll(store)
        #expect(throws: ChanterError.self) { try store.loadAll { _, _, _, _ in } }
      }
      let store = try ModelStore.openForReading(at: path)
      #expect(try Snapshot(store).digest() == truth.digest())
    }
  }
}
