import CLMDB
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Checks every index page of the environment before LMDB walks them: LMDB trusts the pages it maps, so a damaged or
/// hostile one, or a file that was cut short, would be a crash and not an error.
///
/// Reads branch and leaf pages only, about 1/150 of a model of one-page blocks, each once, and holds one page for
/// each level. What the leaves point to has checksums of its own. The page layout is that of LMDB 0.9 (`struct MDB_page`,
/// `MDB_node`, `MDB_db` in its mdb.c).
struct TreeCheck: ~Copyable {
  private let descriptor: Int32
  private let path: String
  private let pageBytes: Int
  /// Pages that may be referred to: those of the committed state that are in the file.
  private let pageCount: UInt64
  private let lastPage: UInt64
  // A page reached twice would make the walk endless; so many visits are possible only then.
  private var visited: UInt64 = 0

  /// Called with each damaged tree of a named database; nil throws the first damage instead.
  private let damagedTree: ((_ database: String, ChanterError) -> Void)?

  private enum Tree { case free, main, integerKeys, textKeys }

  private static let branchFlag: UInt16 = 0x01
  private static let leafFlag: UInt16 = 0x02
  private static let bigData: UInt16 = 0x01
  private static let subDatabase: UInt16 = 0x02

  /// Throws `.corrupt` unless all index pages of the last commit are whole.
  ///
  /// - Parameter damagedTree: is told of the first damage in each database instead; then only what lies above the
  ///   databases throws.
  static func run(
    _ environment: Environment, damagedTree: ((_ database: String, ChanterError) -> Void)? = nil
  ) throws {
    try environment.read { transaction in
      let path = environment.path
      let descriptor = environment.descriptor
      // The transaction keeps its pages from being reused, but a trainer may replace its meta page.
      var meta: MetaPage?
      for attempt in 0..<100 where meta == nil {
        if attempt > 0 {
          transaction.reset()
          try transaction.renew()
        }
        let number = UInt64(mdb_txn_id(transaction.handle))
        meta = try MetaPage.readBoth(descriptor, path: path).first { $0.transaction == number }
      }
      guard let meta else {
        throw ChanterError(.io, "commits come too fast to read the model; try again", path: path)
      }
      var status = stat()
      guard fstat(descriptor, &status) == 0 else {
        throw failure(errno, attempt: "read data.mdb", path: path)
      }
      // The last pages of a state may be unused and never written, so a shorter file is no damage by itself.
      let present = UInt64(status.st_size) / UInt64(meta.pageBytes)
      var check = TreeCheck(
        descriptor: descriptor, path: path, pageBytes: meta.pageBytes,
        pageCount: min(present, meta.lastPage + 1), lastPage: meta.lastPage, damagedTree: damagedTree)
      try check.walk(meta.free, .free)
      try check.walk(meta.main, .main)
    }
  }

  private init(
    descriptor: Int32, path: String, pageBytes: Int, pageCount: UInt64, lastPage: UInt64,
    damagedTree: ((String, ChanterError) -> Void)?
  ) {
    self.damagedTree = damagedTree
    self.descriptor = descriptor
    self.path = path
    self.pageBytes = pageBytes
    self.pageCount = pageCount
    self.lastPage = lastPage
  }

  /// What a walk over one tree has seen so far.
  private struct Progress {
    var branchPages: UInt64 = 0
    var leafPages: UInt64 = 0
    var overflowPages: UInt64 = 0
    var entries: UInt64 = 0
    /// The last key of a leaf, and a branch's key that the next one must not be below.
    var lastKey: UInt64?
    var leastKey: UInt64 = 0
    var lastText: [UInt8] = []
  }

  private mutating func walk(_ record: TreeRecord, _ tree: Tree) throws {
    var progress = Progress()
    if record.root == TreeRecord.noRoot {
      guard record.depth == 0, record.entries == 0 else { throw damaged(0, "an empty tree has entries") }
      return
    }
    guard record.depth >= 1, record.depth <= IndexPage.deepest else {
      throw damaged(0, "impossible depth of a tree")
    }
    try visit(record.root, level: record.depth, tree, &progress)
    guard progress.branchPages == record.branchPages, progress.leafPages == record.leafPages,
      progress.overflowPages == record.overflowPages, progress.entries == record.entries
    else { throw damaged(record.root, "a tree does not have the pages and entries it should have") }
  }

  private mutating func visit(_ page: UInt64, level: Int, _ tree: Tree, _ progress: inout Progress) throws {
    visited += 1
    guard page >= 2, page < pageCount, visited <= pageCount else {
      throw damaged(
        page, "an index page lies beyond the end of the file, which may be cut short, or is used twice")
    }
    let buffer = AlignedBuffer<UInt8>(count: pageBytes)
    let got = pread(descriptor, buffer.base, pageBytes, off_t(page * UInt64(pageBytes)))
    guard got == pageBytes else {
      throw got < 0
        ? failure(errno, attempt: "read data.mdb", path: path) : damaged(page, "the file is cut short")
    }
    let bytes = buffer.rawBytes
    let lower = Int(IndexPage.short(bytes, 12))
    let upper = Int(IndexPage.short(bytes, 14))
    let flag = level == 1 ? Self.leafFlag : Self.branchFlag
    let nodes = (lower - IndexPage.headerBytes) / 2
    guard IndexPage.long(bytes, 0) == page, IndexPage.short(bytes, 10) == flag,
      lower >= IndexPage.headerBytes, lower % 2 == 0,
      lower <= upper, upper <= pageBytes, nodes >= (level == 1 ? 1 : 2)
    else { throw damaged(page, "an index page has an impossible header") }
    if level == 1 { progress.leafPages += 1 } else { progress.branchPages += 1 }
    for index in 0..<nodes {
      let node = Int(IndexPage.short(bytes, IndexPage.headerBytes + 2 * index))
      guard node % 2 == 0, node >= upper, node + IndexPage.nodeHeaderBytes <= pageBytes else {
        throw damaged(page, "an index entry lies outside its page")
      }
      let keyBytes = Int(IndexPage.short(bytes, node + 6))
      let data = node + IndexPage.nodeHeaderBytes + keyBytes
      guard data <= pageBytes else { throw damaged(page, "an index entry lies outside its page") }
      let key = UnsafeRawBufferPointer(rebasing: bytes[node + IndexPage.nodeHeaderBytes..<data])
      if level == 1 {
        try checkLeaf(bytes, node, data: data, key, page, tree, &progress)
      } else {
        if index > 0 { try checkSeparator(key, page, tree, &progress) }
        let child = IndexPage.child(bytes, at: node)
        if index % Self.readAheadNodes == 0 { announceChildren(bytes, from: index, nodes) }
        try visit(child, level: level - 1, tree, &progress)
      }
    }
  }

  private func checkSeparator(
    _ key: UnsafeRawBufferPointer, _ page: UInt64, _ tree: Tree, _ progress: inout Progress
  ) throws {
    if tree == .main || tree == .textKeys { return }
    guard key.count == 8, let last = progress.lastKey, IndexPage.long(key, 0) > last else {
      throw damaged(page, "index keys are out of order")
    }
    progress.leastKey = IndexPage.long(key, 0)
  }

  private mutating func checkLeaf(
    _ bytes: UnsafeRawBufferPointer, _ node: Int, data: Int, _ key: UnsafeRawBufferPointer, _ page: UInt64,
    _ tree: Tree, _ progress: inout Progress
  ) throws {
    progress.entries += 1
    switch tree {
    case .free, .integerKeys:
      guard key.count == 8, IndexPage.long(key, 0) >= progress.leastKey,
        progress.lastKey.map({ $0 < IndexPage.long(key, 0) }) ?? true
      else { throw damaged(page, "index keys are out of order") }
      progress.lastKey = IndexPage.long(key, 0)
    case .main, .textKeys:
      let text = Array(key)
      guard !text.isEmpty, progress.entries == 1 || progress.lastText.lexicographicallyPrecedes(text) else {
        throw damaged(page, "index keys are out of order")
      }
      progress.lastText = text
    }
    let size = Int(IndexPage.short(bytes, node)) | Int(IndexPage.short(bytes, node + 2)) << 16
    let flags = IndexPage.short(bytes, node + 4)
    switch (flags, tree) {
    case (Self.bigData, .free), (Self.bigData, .integerKeys), (Self.bigData, .textKeys):
      guard data + 8 <= pageBytes else { throw damaged(page, "an index entry lies outside its page") }
      let first = IndexPage.long(bytes, data)
      let pages = UInt64((size + IndexPage.headerBytes + pageBytes - 1) / pageBytes)
      guard first >= 2, first < pageCount, pages <= pageCount - first else {
        throw damaged(first, "a value lies beyond the end of the file, which may be cut short")
      }
      progress.overflowPages += pages
      if tree == .free {
        try checkFreeList(at: first * UInt64(pageBytes) + UInt64(IndexPage.headerBytes), size)
      }
    case (0, .free), (0, .integerKeys), (0, .textKeys):
      guard data + size <= pageBytes else { throw damaged(page, "an index entry lies outside its page") }
      if tree == .free { try checkFreeList(at: page * UInt64(pageBytes) + UInt64(data), size) }
    case (Self.subDatabase, .main):
      guard size == TreeRecord.byteCount, data + size <= pageBytes else {
        throw damaged(page, "the record of a database has the wrong length")
      }
      let record = TreeRecord(bytes, at: data)
      let isMeta = progress.lastText == Array(Databases.metaName.utf8)
      guard record.flags == (isMeta ? 0 : MetaPage.integerKeys) else {
        throw damaged(page, "the record of a database is damaged")
      }
      do {
        try walk(record, isMeta ? .textKeys : .integerKeys)
      } catch let error as ChanterError where error.kind == .corrupt {
        guard let damagedTree else { throw error }
        damagedTree(String(decoding: progress.lastText, as: UTF8.self), error)
      }
    default: throw damaged(page, "an index entry has an impossible kind")
    }
  }

  /// A list of free pages: their number, then page numbers, descending.
  private func checkFreeList(at offset: UInt64, _ size: Int) throws {
    let page = offset / UInt64(pageBytes)
    guard size >= 8, size % 8 == 0 else { throw damaged(page, "a list of free pages is damaged") }
    let buffer = AlignedBuffer<UInt64>(count: size / 8)
    guard pread(descriptor, buffer.base, size, off_t(offset)) == size, buffer[0] <= UInt64(size / 8 - 1)
    else { throw damaged(page, "a list of free pages is damaged") }
    var previous = UInt64.max
    for index in 1..<Int(buffer[0]) + 1 {
      let free = buffer[index]
      guard free >= 2, free <= lastPage, free < previous else {
        throw damaged(page, "a list of free pages is damaged")
      }
      previous = free
    }
  }

  private static let readAheadNodes = 64

  /// Asks for the next children of a branch page while the first of them is read.
  private func announceChildren(_ bytes: UnsafeRawBufferPointer, from index: Int, _ nodes: Int) {
    for next in index..<min(nodes, index + Self.readAheadNodes) {
      let node = Int(IndexPage.short(bytes, IndexPage.headerBytes + 2 * next))
      guard node + IndexPage.nodeHeaderBytes <= pageBytes else { return }
      let child = IndexPage.child(bytes, at: node)
      guard child < pageCount else { return }
      posix_fadvise(descriptor, off_t(child * UInt64(pageBytes)), off_t(pageBytes), POSIX_FADV_WILLNEED)
    }
  }

  private func damaged(_ page: UInt64, _ what: String) -> ChanterError {
    let (offset, overflow) = page.multipliedReportingOverflow(by: UInt64(pageBytes))
    return ChanterError(
      .corrupt, "data.mdb is damaged: \(what); " + restoreAdvice, path: path,
      offset: overflow ? nil : Int(exactly: offset))
  }
}
