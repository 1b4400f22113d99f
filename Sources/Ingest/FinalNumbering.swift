import BatchStore
import Primitives

/// The row of every value, known once the training part is.
struct FinalNumbering {
  let tables: [TableLayout]
  /// By table: numbers of first appearance in row order from row 2 on; empty once the vocabulary is written.
  let order: [[UInt32]]
  /// By table: the row of each provisional row.
  let rows: [[UInt32]]

  init(tables: [TableLayout], order: [[UInt32]], rows: [[UInt32]]) {
    self.tables = tables
    self.order = order
    self.rows = rows
  }

  init(_ counters: [ValueCounter], _ names: [String], minimumCount: Int, _ pool: WorkerPool) {
    var order = [[UInt32]](repeating: [], count: counters.count)
    var rows = order
    order.withUnsafeMutableBufferPointer { order in
      rows.withUnsafeMutableBufferPointer { rows in
        pool.run(counters.count) { table, _ in
          order[table] = counters[table].order(minimumCount: minimumCount)
          rows[table] = counters[table].finalRows(order[table])
        }
      }
    }
    self.order = order
    self.rows = rows
    tables = zip(names, order).map { name, order in
      TableLayout(name: name, rows: UInt32(order.count + Vocabulary.reservedRows))
    }
  }
}
