import BatchStore
import Primitives

/// A piece of an input that begins and ends at a line, with what was parsed of it; its memory is used again and again.
///
/// Unchecked `Sendable`: one stage owns a block at any moment and hands it on through a channel or a `WorkerPool.run`.
final class TextBlock: @unchecked Sendable {
  /// Bytes of text, unless a line at the end is longer.
  static let bytes = 1 << 18
  /// A full line has 39 tabs, a label and a line feed.
  private static let leastLineBytes = 41

  let text = AlignedBuffer<UInt8>(count: bytes)
  var count = 0
  /// Number of the input in the list of all.
  var input = 0
  /// Whether the input ends with this block.
  var isLast = false
  /// Bytes of all inputs that were read when the block was full, as they lie on the disk.
  var readBytes = 0

  /// Lines of the block, bad ones included.
  var lines = 0
  let problems = LineProblems()
  /// The samples; `rows` are filled when the values are numbered.
  let samples: SampleBatch
  /// `[categories x capacity]`: where each value lies in `text`, its length, and its hash.
  let starts: AlignedBuffer<UInt32>
  let lengths: AlignedBuffer<UInt16>
  let hashes: AlignedBuffer<UInt64>

  static let maximumSamples = bytes / leastLineBytes + 1
  /// All memory of a block.
  static let memory =
    bytes
    + maximumSamples
    * (4 * (2 + CriteoLayout.integerCount) + CriteoLayout.categoryCount * (4 + 4 + 2 + 8))

  init() {
    let capacity = Self.maximumSamples
    samples = SampleBatch(shape: CriteoLayout.shape, capacity: capacity)
    starts = AlignedBuffer(count: CriteoLayout.categoryCount * capacity)
    lengths = AlignedBuffer(count: CriteoLayout.categoryCount * capacity)
    hashes = AlignedBuffer(count: CriteoLayout.categoryCount * capacity)
  }

  /// The values of one categorical column.
  func column(_ table: Int) -> ValueColumn {
    let start = table * samples.capacity
    return ValueColumn(
      text: text.base, starts: starts.base + start, lengths: lengths.base + start,
      hashes: hashes.base + start, count: samples.sampleCount)
  }
}

/// What is wrong with the lines of a block: how many for each reason, and the first of them in full.
final class LineProblems {
  /// One bad line.
  struct Problem {
    /// 0-based number in the block.
    var line: Int
    var message: String
  }

  private(set) var first: [Problem] = []
  private(set) var counts = [Int](repeating: 0, count: LineReason.allCases.count)
  var isEmpty: Bool { first.isEmpty }

  func removeAll() {
    first.removeAll(keepingCapacity: true)
    for reason in counts.indices { counts[reason] = 0 }
  }

  /// The first of them as errors, of a block that starts after `lines` lines of the input `path`.
  func errors(path: String, after lines: Int) -> [ChanterError] {
    first.map { ChanterError(.badInput, $0.message, path: path, line: lines + $0.line + 1) }
  }

  func add(_ reason: LineReason, line: Int, _ message: @autoclosure () -> String) {
    counts[reason.rawValue] += 1
    if first.count < SkippedLines.shown { first.append(Problem(line: line, message: message())) }
  }
}

/// Why a line is bad.
public enum LineReason: Int, CaseIterable, Sendable {
  case tooLong, fieldCount, label, integer, category

  /// In words, for reports.
  public var text: String {
    switch self {
    case .tooLong: "line too long"
    case .fieldCount: "wrong number of fields"
    case .label: "bad label"
    case .integer: "bad integer"
    case .category: "bad category"
    }
  }
}
