/// Where the parts of LMDB's index pages lie, as of LMDB 0.9 (`struct MDB_page`, `MDB_node` in its mdb.c).
enum IndexPage {
  static let headerBytes = 16
  static let nodeHeaderBytes = 8
  /// Deepest tree that LMDB handles (`CURSOR_STACK`).
  static let deepest = 32

  static func short(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt16 {
    UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  static func long(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// The page that the node at `node` of a branch page leads to.
  static func child(_ bytes: UnsafeRawBufferPointer, at node: Int) -> UInt64 {
    UInt64(short(bytes, node)) | UInt64(short(bytes, node + 2)) << 16 | UInt64(short(bytes, node + 4)) << 32
  }
}
