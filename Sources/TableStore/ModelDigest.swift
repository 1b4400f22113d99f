public import Primitives

/// The digest of a model: a fingerprint of every row whose bytes differ from its initial value, in (table, row) order,
/// the dense record and the cursor. It does not depend on what happens to be stored where, or stored at all.
///
/// Fed by `Snapshot.digest` from a store, and by whoever holds the rows in memory.
public struct ModelDigest: ~Copyable {
  private let layout: RowLayout
  private var fingerprint = Fingerprint()
  // Key and row beside each other, so that one update takes both.
  private let entry: AlignedBuffer<UInt8>
  private let initial: InitialRows

  public init(layout: RowLayout) {
    self.layout = layout
    entry = AlignedBuffer(count: 8 + layout.rowBytes)
    initial = InitialRows(layout)
  }

  /// Adds a row (`rowFloats` floats); one that has its initial value changes nothing. Keys must ascend.
  public mutating func add(_ key: RowKey, _ row: UnsafePointer<Float>) {
    if initial.contains(key, row) { return }
    let bytes = UnsafeMutableRawPointer(entry.base)
    (bytes + 8).copyMemory(from: row, byteCount: layout.rowBytes)
    bytes.storeBytes(of: key.littleEndian, as: RowKey.self)
    fingerprint.update(entry.rawBytes)
  }

  /// Ends the digest, after which nothing is added: 32 hexadecimal digits.
  public mutating func finish(dense: UnsafeRawBufferPointer, cursor: UInt64) -> String {
    // No row has this key, so rows and what follows cannot be mistaken for each other.
    fingerprint.update(UInt64.max)
    fingerprint.update(UInt64(dense.count))
    fingerprint.update(dense)
    fingerprint.update(cursor)
    return fingerprint.hex
  }
}
