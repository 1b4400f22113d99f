public import Primitives

extension RowLayout {
  /// Rows that share a block; a plan needs it to count the blocks that will be looked up.
  public var rowsPerBlock: Int { Geometry(rowBytes: rowBytes).rowsPerBlock }

  /// What a block takes in the file.
  public var bytesPerBlock: Int { Geometry(rowBytes: rowBytes).pagesPerBlock * Geometry.pageBytes }
}
