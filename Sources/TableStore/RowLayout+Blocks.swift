public import Primitives

extension RowLayout {
  /// Rows that share a block; a plan needs it to count the blocks that will be looked up.
  public var rowsPerBlock: Int { Geometry(rowBytes: rowBytes).rowsPerBlock }
}
