import Ingest
import Primitives
import TableStore

/// What each `--min-count` would have kept, for people and programs.
struct ThresholdReport: Encodable {
  struct Line: Encodable {
    let minCount: Int
    let rows: Int
    let bytes: Int
    let accessesKept: Double
    let heldOutUnseen: Double
  }

  let dim: Int
  let lines: [Line]

  /// - Parameters:
  ///   - reservedRows: rows of all tables that no threshold drops.
  ///   - dim: floats of a row; what an optimizer keeps with it is not counted.
  init(_ counts: ThresholdCounts, reservedRows: Int, dim: Int) {
    self.dim = dim
    let layout = RowLayout(tables: [], dimension: dim, stateFloats: 0, seed: 0)
    lines = ThresholdCounts.thresholds.indices.map { threshold in
      let rows = reservedRows + counts.values(threshold)
      func share(_ part: Int, _ all: Int) -> Double { all == 0 ? 0 : Double(part) / Double(all) }
      return Line(
        minCount: ThresholdCounts.thresholds[threshold], rows: rows,
        bytes: (rows + layout.rowsPerBlock - 1) / layout.rowsPerBlock * layout.bytesPerBlock,
        accessesKept: share(counts.trainingUses(threshold), counts.allTrainingUses),
        heldOutUnseen: share(counts.unseenHeldUses(threshold), counts.allHeldUses))
    }
  }

  func show() {
    printHeading("Rows by --min-count")
    printColumns(
      ["min count", "rows", "on disk at dim \(dim)", "accesses kept", "held out unseen"],
      lines.map {
        [
          grouped($0.minCount), grouped($0.rows), ByteSize.format($0.bytes), percent($0.accessesKept),
          percent($0.heldOutUnseen),
        ]
      }, leading: 0)
  }
}
