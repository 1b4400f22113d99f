import BatchStore
import Primitives

/// Where the samples of a block go before they are numbered: which part, when, and the line that they come from.
///
/// For one stage at a time, as its block.
final class SampleRoute {
  let times: AlignedBuffer<Int64>
  let parts: AlignedBuffer<UInt8>
  let starts: AlignedBuffer<UInt32>
  let lengths: AlignedBuffer<UInt32>
  /// The text as it was: parsing changes quotes and numbers in place.
  let text = AlignedBuffer<UInt8>(count: TextBlock.bytes)
  /// By quantile column: the value of each sample, NaN for none.
  let observed: [AlignedBuffer<Double>]
  /// By column of the schema: its number among the quantile columns.
  private let quantileNumbers: [Int?]

  init(capacity: Int, quantileNumbers: [Int?]) {
    self.quantileNumbers = quantileNumbers
    times = AlignedBuffer(count: capacity)
    parts = AlignedBuffer(count: capacity)
    starts = AlignedBuffer(count: capacity)
    lengths = AlignedBuffer(count: capacity)
    observed = (0..<quantileNumbers.count { $0 != nil }).map { _ in AlignedBuffer(count: capacity) }
  }

  static func bytes(capacity: Int, quantiles: Int) -> Int {
    capacity * (17 + 8 * quantiles) + TextBlock.bytes
  }

  /// Before a block is parsed.
  func begin(_ block: TextBlock) {
    text.base.update(from: block.text.base, count: block.count)
    for column in observed { column.base.update(repeating: .nan, count: column.count) }
  }

  func set(_ sample: Int, start: Int, end: Int, _ line: LineParsing) {
    times.base[sample] = line.time
    parts.base[sample] = UInt8(line.part.order)
    starts.base[sample] = UInt32(start)
    lengths.base[sample] = UInt32(end - start)
  }

  func observe(_ value: Double, _ operation: ColumnOperation, _ sample: Int) {
    if let number = quantileNumbers[operation.column] { observed[number].base[sample] = value }
  }
}

extension Split {
  /// Its number among all.
  var order: Int {
    switch self {
    case .train: 0
    case .valid: 1
    case .holdout: 2
    }
  }
}
