import Primitives

/// What to do with one field, without anything that needs counting of references.
struct ColumnOperation: BitwiseCopyable {
  enum Code: UInt8 {
    case ignored, binaryLabel, thresholdLabel, valueLabel, dense, log1p, standardise, bucket, string, integer
    case hexadecimal, weight, time, split
  }

  var code = Code.ignored
  /// Number of the column in the schema.
  var column: Int
  /// Number of the dense column, of the feature, or of the bag.
  var target = 0
  /// Whether the target is a bag, its separator, and the most entries.
  var isBag = false
  var separator: UInt8 = 0
  var maximumLength = Int.max
  /// Threshold of a label, or mean and reciprocal of the deviation of a dense column.
  var offset = 0.0
  var scale = 1.0
  /// Whether the moments of a dense column are still to be found.
  var awaitsMoments = false
  /// Place of its boundaries among all, and how many.
  var firstBoundary = 0
  var boundaryCount = 0
  /// Place of the first of its buckets among all.
  var firstBucket = 0
  /// Whether there are markers for missing values beside the empty field.
  var hasMarkers = false
}

/// Buckets of all columns: boundaries, and the text of each bucket behind that of a block.
struct BucketTable: Sendable {
  private(set) var boundaries: [Double] = []
  private(set) var starts: [UInt32] = []
  private(set) var lengths: [UInt16] = []
  /// The texts one after another.
  private(set) var tail: [UInt8] = []

  /// Adds a column with ascending boundaries.
  mutating func add(_ edges: [Double], to operation: inout ColumnOperation) {
    operation.firstBoundary = boundaries.count
    operation.boundaryCount = edges.count
    operation.firstBucket = starts.count
    boundaries += edges
    for bucket in 0...edges.count {
      let text = Self.name(bucket, of: edges)
      starts.append(UInt32(TextBlock.bytes + tail.count))
      lengths.append(UInt16(text.utf8.count))
      tail += Array(text.utf8)
    }
  }

  /// A bucket in words, as a vocabulary keeps it: `<18`, `18..25`, `>=65`.
  static func name(_ bucket: Int, of edges: [Double]) -> String {
    func number(_ value: Double) -> String {
      value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
    }
    if edges.isEmpty { return "any" }
    if bucket == 0 { return "<\(number(edges[0]))" }
    if bucket == edges.count { return ">=\(number(edges[bucket - 1]))" }
    return "\(number(edges[bucket - 1]))..\(number(edges[bucket]))"
  }

  /// Where the text of the bucket of `value` lies behind a block.
  func place(of value: Double, _ operation: ColumnOperation) -> (start: UInt32, length: UInt16) {
    // How many boundaries lie at or below the value.
    var low = 0
    var high = operation.boundaryCount
    while low < high {
      let middle = (low + high) / 2
      if boundaries[operation.firstBoundary + middle] <= value { low = middle + 1 } else { high = middle }
    }
    let bucket = operation.firstBucket + low
    // Quantiles that are still to be found have no buckets.
    return bucket < starts.count ? (starts[bucket], lengths[bucket]) : (0, 0)
  }
}
