import Primitives

/// Blocks: the rows that share one page (four for wide rows).
enum Block {
  /// Writes the initial values of a block that is not stored yet to `destination` (`geometry.blockBytes` bytes).
  static func fillInitial(
    _ block: RowKey, _ geometry: Geometry, _ layout: RowLayout,
    into destination: UnsafeMutableRawBufferPointer
  ) {
    destination.initializeMemory(as: UInt8.self, repeating: 0)
    guard let base = destination.baseAddress else { return }
    var row = (base + Seal.byteCount).assumingMemoryBound(to: Float.self)
    for number in geometry.rows(of: block) {
      layout.fillInitial(table: block.table, row: number, into: row)
      row += geometry.rowFloats
    }
  }

  /// Throws unless `value` is the whole, undamaged block `block`.
  static func verify(
    _ value: UnsafeRawBufferPointer, _ block: RowKey, _ geometry: Geometry, _ layout: RowLayout, path: String
  ) throws {
    if value.count == geometry.blockBytes {
      switch Seal.verify(value, .block(block)) {
      case .intact: return
      case .newer(let found): throw Seal.newer(found, description(block, geometry, layout), path: path)
      case .damaged: break
      }
    }
    throw ChanterError(
      .corrupt, "\(description(block, geometry, layout)) is damaged (checksum or length); " + restoreAdvice,
      path: path)
  }

  private static func description(_ block: RowKey, _ geometry: Geometry, _ layout: RowLayout) -> String {
    let rows = geometry.rows(of: block)
    return
      "the block of rows \(rows.lowerBound) to \(rows.upperBound) of table \(layout.tables[block.table].name)"
  }
}
