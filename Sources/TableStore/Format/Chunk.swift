import Primitives

/// Delta chunks: sorted keys and their rows as one commit wrote them.
///
/// Layout: seal (8), first key (8), last key (8), rows (4), checksum of the index fields (4), commit (8), keys
/// (8 each), rows (`rowBytes` each).
enum Chunk {
  static let headerBytes = 40

  /// Key of a chunk: the commit above, its number inside the commit below, so that a commit's chunks lie together in
  /// key order, after those of every earlier commit.
  static let sequenceBits: UInt64 = 24
  static func key(commit: UInt64, sequence: UInt64) -> UInt64 { commit << sequenceBits | sequence }
  static func commit(of key: UInt64) -> UInt64 { key >> sequenceBits }
  static func sequence(of key: UInt64) -> UInt64 { key & (1 << sequenceBits - 1) }
  static let largestCommit: UInt64 = 1 << (64 - sequenceBits) - 1

  static func byteCount(rows: Int, _ geometry: Geometry) -> Int {
    headerBytes + rows * (8 + geometry.rowBytes)
  }

  /// Where a chunk's rows are, in mapped memory: the entry of an index over the chunks.
  struct Location: BitwiseCopyable {
    let key: UInt64
    let base: UnsafeRawPointer
    let count: Int
    let firstKey: RowKey
    let lastKey: RowKey

    fileprivate init(key: UInt64, base: UnsafeRawPointer, _ fields: IndexFields) {
      self.key = key
      self.base = base
      count = Int(fields.count)
      firstKey = fields.first
      lastKey = fields.last
    }

    /// Once more for a chunk that `locate` has let pass before.
    init(key: UInt64, checked base: UnsafeRawPointer) { self.init(key: key, base: base, IndexFields(base)) }

    func rowKey(_ index: Int) -> RowKey {
      RowKey(littleEndian: base.loadUnaligned(fromByteOffset: headerBytes + 8 * index, as: RowKey.self))
    }

    func row(_ index: Int, _ geometry: Geometry) -> UnsafeRawPointer {
      base + (headerBytes + 8 * count + geometry.rowBytes * index)
    }

    /// The first index whose key is not below `key`; `count` if there is none.
    func lowerBound(_ key: RowKey) -> Int {
      var low = 0
      var high = count
      while low < high {
        let middle = (low + high) / 2
        if rowKey(middle) < key { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  /// Packs `count` rows, named by `order`, into `value`, which has `byteCount(rows: count)` bytes.
  static func write(
    into value: UnsafeMutableRawBufferPointer, key chunkKey: UInt64, _ geometry: Geometry,
    keys: UnsafePointer<RowKey>, order: UnsafePointer<UInt32>, count: Int, rows: UnsafePointer<Float>
  ) {
    guard let base = value.baseAddress else { return }
    let first = keys[Int(order[0])]
    let last = keys[Int(order[count - 1])]
    let fields = IndexFields(first: first, last: last, count: UInt32(truncatingIfNeeded: count))
    base.storeBytes(of: first.littleEndian, toByteOffset: 8, as: UInt64.self)
    base.storeBytes(of: last.littleEndian, toByteOffset: 16, as: UInt64.self)
    base.storeBytes(of: fields.count.littleEndian, toByteOffset: 24, as: UInt32.self)
    base.storeBytes(of: fields.checksum(chunkKey).littleEndian, toByteOffset: 28, as: UInt32.self)
    base.storeBytes(of: commit(of: chunkKey).littleEndian, toByteOffset: 32, as: UInt64.self)
    var keyAt = base + headerBytes
    var rowAt = keyAt + 8 * count
    let rowBytes = geometry.rowBytes
    let rowFloats = geometry.rowFloats
    for index in 0..<count {
      let source = Int(order[index])
      keyAt.storeBytes(of: keys[source].littleEndian, as: UInt64.self)
      rowAt.copyMemory(from: rows + source * rowFloats, byteCount: rowBytes)
      keyAt += 8
      rowAt += rowBytes
    }
    Seal.close(value, .chunk(chunkKey))
  }

  /// Reads the index fields of a chunk, which have a checksum of their own so that an index over all chunks reads one
  /// page of each.
  static func locate(
    _ value: UnsafeRawBufferPointer, key: UInt64, _ geometry: Geometry, path: String
  ) throws -> Location {
    guard let base = value.baseAddress, value.count >= headerBytes else { throw damaged(key, path) }
    let fields = IndexFields(base)
    let stored = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 28, as: UInt32.self))
    let version = UInt16(littleEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    guard version == Seal.version || stored != fields.checksum(key) else {
      // The place of the fields may be another in a newer version, so its checksum decides.
      if case .newer(let found) = Seal.verify(value, .chunk(key)) {
        throw Seal.newer(found, "a chunk of commit \(commit(of: key))", path: path)
      }
      throw damaged(key, path)
    }
    guard stored == fields.checksum(key), fields.count > 0, fields.first <= fields.last,
      value.count == byteCount(rows: Int(fields.count), geometry)
    else { throw damaged(key, path) }
    return Location(key: key, base: base, fields)
  }

  /// Throws unless the whole chunk is undamaged and its keys ascend and name tables of the model.
  static func verify(_ chunk: Location, _ geometry: Geometry, _ layout: RowLayout, path: String) throws {
    let bytes = UnsafeRawBufferPointer(start: chunk.base, count: byteCount(rows: chunk.count, geometry))
    switch Seal.verify(bytes, .chunk(chunk.key)) {
    case .intact: break
    case .newer(let found):
      throw Seal.newer(found, description(chunk, layout), path: path)
    case .damaged:
      throw ChanterError(
        .corrupt, "\(description(chunk, layout)) is damaged (checksum); " + restoreAdvice, path: path)
    }
    var previous = chunk.rowKey(0)
    var ascending = previous == chunk.firstKey && chunk.rowKey(chunk.count - 1) == chunk.lastKey
    for index in 1..<max(1, chunk.count) {
      let key = chunk.rowKey(index)
      ascending = ascending && key > previous
      previous = key
    }
    guard ascending, chunk.lastKey >> 32 < UInt64(layout.tables.count) else {
      throw ChanterError(
        .corrupt, "\(description(chunk, layout)) has keys out of order; " + restoreAdvice, path: path)
    }
  }

  fileprivate struct IndexFields {
    let first: UInt64
    let last: UInt64
    let count: UInt32

    init(first: UInt64, last: UInt64, count: UInt32) {
      self.first = first
      self.last = last
      self.count = count
    }

    init(_ base: UnsafeRawPointer) {
      first = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      last = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
      count = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    }

    func checksum(_ chunkKey: UInt64) -> UInt32 {
      var bytes = (
        chunkKey.littleEndian, first.littleEndian, last.littleEndian, UInt64(count).littleEndian
      )
      return withUnsafeBytes(of: &bytes) { CRC32C.checksum($0) }
    }
  }

  private static func damaged(_ key: UInt64, _ path: String) -> ChanterError {
    ChanterError(
      .corrupt,
      "chunk \(sequence(of: key)) of commit \(commit(of: key)) is damaged (checksum or length); "
        + restoreAdvice, path: path)
  }

  private static func description(_ chunk: Location, _ layout: RowLayout) -> String {
    func name(_ key: RowKey) -> String {
      let table =
        key >> 32 < UInt64(layout.tables.count) ? layout.tables[key.table].name : "number \(key >> 32)"
      return "row \(key.row) of table \(table)"
    }
    return "chunk \(sequence(of: chunk.key)) of commit \(commit(of: chunk.key)), with \(name(chunk.firstKey))"
      + " to \(name(chunk.lastKey)),"
  }
}
