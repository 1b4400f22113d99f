import CLMDB
import Primitives

/// Asks the system for the leaf pages in which keys of a table will be looked up.
///
/// LMDB walks to one leaf at a time, so each that is not in memory is a disk access at depth one: with a block a page,
/// looking up a row of a large table costs two accesses, of which only that of the block could be announced. The branch pages
/// above, about one page in 20,000, lead to all leaves of a request at once. Only hints come of what is read here. It
/// touches the pages that LMDB touches next, and the page layout is that of LMDB 0.9 (`struct MDB_page`, `MDB_node`).
struct LeafReadAhead {
  private struct Root {
    var page: UInt64 = 0
    var depth = 0
  }

  private let pageBytes: Int
  private let base: UInt
  private let names: [String]
  private var roots: [Root]
  /// The last page that may be referred to.
  private var lastPage: UInt64 = 0
  private var transactionNumber = 0

  init(_ store: ModelStore) {
    pageBytes = Int(store.environment.pageBytes)
    base = store.mapBase
    names = store.layout.tables.map(Databases.tableName)
    roots = Array(repeating: Root(), count: names.count)
  }

  /// Takes up the state of `transaction`; of one that writes, the state before its first change.
  mutating func renew(_ store: ModelStore, _ transaction: OpaquePointer) throws {
    let number = mdb_txn_id(transaction)
    if number == transactionNumber { return }
    transactionNumber = number
    lastPage = UInt64(store.environment.lastPage)
    for (table, name) in names.enumerated() {
      roots[table] = Root()
      let record = try value(transaction, store.databases.main, name, store.path)
      guard let record, record.count == TreeRecord.byteCount else { continue }
      let tree = TreeRecord(record, at: 0)
      guard tree.depth <= IndexPage.deepest else { continue }
      roots[table] = Root(page: tree.root, depth: tree.depth)
    }
  }

  /// Announces the leaves in which the blocks of `keys` are looked up; they ascend.
  func announce(_ keys: UnsafePointer<RowKey>, count: Int, _ geometry: Geometry) {
    var readAhead = ReadAhead()
    forEachLeaf(keys, count: count, geometry) { readAhead.add($0, count: pageBytes) }
    readAhead.flush()
  }

  /// Calls `body` with the address of each leaf that `announce` would announce.
  func forEachLeaf(
    _ keys: UnsafePointer<RowKey>, count: Int, _ geometry: Geometry, _ body: (UInt) -> Void
  ) {
    var first = 0
    while first < count {
      let table = keys[first].table
      var end = first + 1
      while end < count, keys[end].table == table { end += 1 }
      let root = roots[table]
      // A root that is a leaf is one page, and one without pages has no leaf.
      if root.depth > 1, root.page <= lastPage {
        visit(root.page, level: root.depth, first..<end, keys, geometry, body)
      }
      first = end
    }
  }

  private func visit(
    _ page: UInt64, level: Int, _ range: Range<Int>, _ keys: UnsafePointer<RowKey>, _ geometry: Geometry,
    _ body: (UInt) -> Void
  ) {
    func block(_ index: Int) -> UInt64 { UInt64(geometry.block(of: keys[index]).row) }

    let address = base + UInt(page) * UInt(pageBytes)
    guard level > 1 else { return body(address) }
    guard let start = UnsafeRawPointer(bitPattern: address) else { return }
    let bytes = UnsafeRawBufferPointer(start: start, count: pageBytes)
    let nodes = (Int(IndexPage.short(bytes, 12)) - IndexPage.headerBytes) / 2
    guard nodes > 0, IndexPage.headerBytes + 2 * nodes <= pageBytes else { return }
    var next = range.lowerBound
    var node = 0
    while next < range.upperBound {
      // The last node whose key is not above the block; the key of the first counts as below all.
      let sought = block(next)
      var high = nodes
      while high - node > 1 {
        let middle = (node + high) / 2
        if key(bytes, middle) <= sought { node = middle } else { high = middle }
      }
      let first = next
      let limit = node + 1 < nodes ? key(bytes, node + 1) : UInt64.max
      repeat { next += 1 } while next < range.upperBound && block(next) < limit
      let child = child(bytes, node)
      guard child <= lastPage else { return }
      visit(child, level: level - 1, first..<next, keys, geometry, body)
    }
  }

  /// Where a node lies in its page, with `count` bytes; a damaged place becomes one inside the page.
  private func place(_ bytes: UnsafeRawBufferPointer, _ node: Int, count: Int) -> Int {
    min(Int(IndexPage.short(bytes, IndexPage.headerBytes + 2 * node)), pageBytes - count)
  }

  private func key(_ bytes: UnsafeRawBufferPointer, _ node: Int) -> UInt64 {
    let place = place(bytes, node, count: IndexPage.nodeHeaderBytes + 8) + IndexPage.nodeHeaderBytes
    return IndexPage.long(bytes, place)
  }

  /// The first node of a branch page has no key.
  private func child(_ bytes: UnsafeRawBufferPointer, _ node: Int) -> UInt64 {
    IndexPage.child(bytes, at: place(bytes, node, count: IndexPage.nodeHeaderBytes))
  }
}
