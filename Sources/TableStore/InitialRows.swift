import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Tells rows that were changed from rows that have their initial value.
struct InitialRows {
  private let layout: RowLayout
  private let initial: AlignedBuffer<Float>

  init(_ layout: RowLayout) {
    self.layout = layout
    initial = AlignedBuffer(count: layout.rowFloats)
  }

  /// Whether `row` (`rowFloats` floats) has exactly the bytes of its initial value.
  func contains(_ key: RowKey, _ row: UnsafePointer<Float>) -> Bool {
    layout.fillInitial(table: key.table, row: key.row, into: initial.base)
    // Bytes and not numbers: -0 differs from 0 here, and a NaN equals itself.
    return memcmp(row, initial.base, layout.rowBytes) == 0
  }
}
