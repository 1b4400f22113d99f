import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// What LMDB 0.9 keeps about one of its B-trees: `MDB_db`, 48 bytes.
struct TreeRecord {
  static let byteCount = 48
  /// A tree without pages.
  static let noRoot = UInt64.max

  let flags: UInt16
  let depth: Int
  let branchPages: UInt64
  let leafPages: UInt64
  let overflowPages: UInt64
  let entries: UInt64
  let root: UInt64

  init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    func number(_ place: Int) -> UInt64 {
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + place, as: UInt64.self))
    }
    flags = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt16.self))
    depth = Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 6, as: UInt16.self)))
    branchPages = number(8)
    leafPages = number(16)
    overflowPages = number(24)
    entries = number(32)
    root = number(40)
  }
}

/// One of the two meta pages at the start of `data.mdb`: the roots of one committed state.
struct MetaPage {
  let pageBytes: Int
  let free: TreeRecord
  let main: TreeRecord
  let lastPage: UInt64
  let transaction: UInt64

  private static let magic: UInt32 = 0xBEEF_C0DE
  private static let dataVersion: UInt32 = 1
  private static let metaFlag: UInt16 = 0x08
  /// Bytes of a meta page that mean something: page header and `MDB_meta`.
  private static let byteCount = 152
  static let integerKeys: UInt16 = 0x08

  /// Reads both meta pages of the open file and throws unless LMDB can work with them. LMDB itself checks
  /// only a magic number and a version before it maps the file by what they say.
  static func readBoth(_ descriptor: Int32, path: String) throws -> [MetaPage] {
    let first = try read(descriptor, at: 0, path: path)
    return [first, try read(descriptor, at: first.pageBytes, path: path)]
  }

  /// The meta page of the last commit, or nil if there is no data file or an empty one, which LMDB takes for new.
  static func readNewest(path: String) throws -> MetaPage? {
    let descriptor = open(path + "/data.mdb", O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure(errno, attempt: "open data.mdb", path: path)
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(errno, attempt: "read data.mdb", path: path) }
    guard status.st_size > 0 else { return nil }
    return try readBoth(descriptor, path: path).max { $0.transaction < $1.transaction }
  }

  private static func read(_ descriptor: Int32, at offset: Int, path: String) throws -> MetaPage {
    try withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 8) { buffer in
      let got = pread(descriptor, buffer.baseAddress, byteCount, off_t(offset))
      if got < 0 { throw failure(errno, attempt: "read data.mdb", path: path) }
      let bytes = UnsafeRawBufferPointer(buffer)
      func short(_ place: Int) -> UInt16 {
        UInt16(littleEndian: bytes.load(fromByteOffset: place, as: UInt16.self))
      }
      func word(_ place: Int) -> UInt32 {
        UInt32(littleEndian: bytes.load(fromByteOffset: place, as: UInt32.self))
      }
      func long(_ place: Int) -> UInt64 {
        UInt64(littleEndian: bytes.load(fromByteOffset: place, as: UInt64.self))
      }
      let pageBytes = Int(word(40))
      guard got == byteCount, short(10) & metaFlag != 0, word(16) == magic, pageBytes >= 4096,
        pageBytes <= 65_536, pageBytes & (pageBytes - 1) == 0
      else {
        throw ChanterError(
          .corrupt, "data.mdb is not a model, or its first pages are damaged; " + restoreAdvice, path: path,
          offset: offset)
      }
      guard word(20) == dataVersion else {
        throw ChanterError(
          .unsupported,
          "data.mdb has version \(word(20)) of LMDB's format, and this program reads version"
            + " \(dataVersion): use the version that made the model", path: path, offset: offset)
      }
      let meta = MetaPage(
        pageBytes: pageBytes, free: TreeRecord(bytes, at: 40), main: TreeRecord(bytes, at: 88),
        lastPage: long(136), transaction: long(144))
      guard meta.free.flags == integerKeys, meta.main.flags == 0, meta.lastPage >= 1,
        meta.lastPage < 1 << 40
      else {
        throw ChanterError(
          .corrupt, "the first pages of data.mdb are damaged; " + restoreAdvice, path: path, offset: offset)
      }
      return meta
    }
  }
}
