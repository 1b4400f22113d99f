public import Primitives

extension Batch {
  /// Makes row 0, which stands for unseen values, of every row that `tables` do not have.
  public func makeUnseen(beyond tables: [TableLayout]) {
    precondition(tables.count == layout.tableCount)
    let keys = keys.base
    let isNeeded = tables.indices.contains { table in
      let (start, end) = (tableOffsets.base[table], tableOffsets.base[table + 1])
      return start < end && keys[Int(end) - 1].row >= tables[table].rows
    }
    guard isNeeded else { return }
    let places = AlignedBuffer<UInt32>(count: uniqueCount)
    var target = 0
    var start = 0
    for table in tables.indices {
      let end = Int(tableOffsets.base[table + 1])
      var known = end
      while known > start, keys[known - 1].row >= tables[table].rows { known -= 1 }
      let hasUnseen = known > start && keys[start].row == Vocabulary.unseenRow
      // One place is free where a row goes, so the rows that stay never reach into the next table.
      let first = target + (known < end && !hasUnseen ? 1 : 0)
      (keys + first).update(from: keys + start, count: known - start)
      (nextUse.base + first).update(from: nextUse.base + start, count: known - start)
      (firstTouch.base + first).update(from: firstTouch.base + start, count: known - start)
      if first > target {
        keys[target] = RowKey(table: table, row: Vocabulary.unseenRow)
        nextUse.base[target] = 0
        firstTouch.base[target] = 0
      }
      for position in start..<known { places.base[position] = UInt32(first + position - start) }
      for position in known..<end { places.base[position] = UInt32(target) }
      tableOffsets.base[table] = UInt32(target)
      target = first + known - start
      start = end
    }
    tableOffsets.base[tables.count] = UInt32(target)
    uniqueCount = target
    for entry in 0..<entryCount { inverse.base[entry] = places.base[Int(inverse.base[entry])] }
  }
}
