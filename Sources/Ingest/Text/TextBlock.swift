import BatchStore
import Primitives

/// A piece of an input that begins and ends at a line, with what was parsed of it; its memory is used again and again.
///
/// Unchecked `Sendable`: one stage owns a block at any moment and hands it on through a channel or a `WorkerPool.run`.
final class TextBlock: @unchecked Sendable {
  /// Bytes of text, unless a line at the end is longer.
  static let bytes = 1 << 18

  let layout: InputLayout
  /// The text, and behind it the tail of the layout.
  let text: AlignedBuffer<UInt8>
  var count = 0
  /// Number of the input in the list of all.
  var input = 0
  /// Whether the input begins with this block, and whether it ends with it.
  var isFirst = false
  var isLast = false
  /// Bytes of all inputs that were read when the block was full, as they lie on the disk.
  var readBytes = 0

  /// Bytes of the input's text up to the end of the block, from where it can be read again; nil within a line that is too
  /// long.
  var endOffset: Int?

  /// Lines of the block, bad ones included.
  var lines = 0
  let problems = LineProblems()
  /// Where each sample goes, if they are dealt out before they are numbered.
  var route: SampleRoute?
  /// The samples; `rows` are filled when the values are numbered.
  let samples: SampleBatch
  /// `[features x capacity]`: where the value of each single-valued feature lies in `text`, its length, and its hash.
  let starts: AlignedBuffer<UInt32>
  let lengths: AlignedBuffer<UInt16>
  let hashes: AlignedBuffer<UInt64>
  /// The same of each bag, entry by entry; `samples.bags` has the offsets.
  let bags: [ValueList]
  /// By table that several features share: its entries, sample by sample and feature by feature.
  private let shared: [SharedColumn?]

  /// All memory of a block.
  static func memory(_ layout: InputLayout) -> Int {
    let samples = layout.samplesPerBlock
    let shared = layout.featuresByTable.filter { $0.count > 1 }.reduce(0) { $0 + $1.count }
    // Lists of bags grow, and may be twice as large as they need to be.
    return bytes + layout.tail.count
      + SampleBatch.bytes(shape: layout.shape, capacity: samples) + 14 * layout.features.count * samples
      + 18 * shared * samples + 2 * (4 + 14 + 18) * layout.bagEntriesPerBlock
  }

  init(_ layout: InputLayout) {
    self.layout = layout
    let capacity = layout.samplesPerBlock
    text = AlignedBuffer(count: Self.bytes + layout.tail.count)
    (text.base + Self.bytes).update(from: layout.tail, count: layout.tail.count)
    samples = SampleBatch(shape: layout.shape, capacity: capacity)
    starts = AlignedBuffer(count: layout.features.count * capacity)
    lengths = AlignedBuffer(count: layout.features.count * capacity)
    hashes = AlignedBuffer(count: layout.features.count * capacity)
    bags = (0..<layout.shape.bagCount).map { _ in ValueList() }
    shared = layout.featuresByTable.map { $0.count > 1 ? SharedColumn() : nil }
  }

  /// The values of one table, sample by sample and feature by feature.
  func column(_ table: Int) -> ValueColumn {
    if let shared = shared[table] { return shared.values.column(in: text.base) }
    let feature = layout.featuresByTable[table][0]
    if let bag = layout.bagNumbers[feature] { return bags[bag].column(in: text.base) }
    let start = feature * samples.capacity
    return ValueColumn(
      text: text.base, starts: starts.base + start, lengths: lengths.base + start,
      hashes: hashes.base + start, count: samples.sampleCount)
  }

  /// Where the rows of that column go; `scatter` must follow.
  func rows(_ table: Int) -> UnsafeMutablePointer<UInt32> {
    if let shared = shared[table] { return shared.rows.base }
    let feature = layout.featuresByTable[table][0]
    if let bag = layout.bagNumbers[feature] { return samples.bags[bag].resize(to: bags[bag].count) }
    return samples.rows.base + feature * samples.capacity
  }

  /// Puts the rows of a table where the samples have them.
  func scatter(_ table: Int) {
    guard let shared = shared[table] else { return }
    let features = layout.featuresByTable[table]
    for feature in features {
      if let bag = layout.bagNumbers[feature] { samples.bags[bag].resize(to: bags[bag].count) }
    }
    var position = 0
    samples.forEachEntry(of: features, in: 0..<samples.sampleCount) { row in
      row.pointee = shared.rows.base[position]
      position += 1
    }
  }

  /// Calls `body` with each use of a table in the order of `column`: its number there, its sample, and which of the
  /// sample's uses of the table it is.
  func forEachUse(
    of table: Int, _ body: (_ use: Int, _ sample: Int, _ entry: Int) throws -> Void
  ) rethrows {
    let offsets = layout.featuresByTable[table].map { feature in
      layout.bagNumbers[feature].map { samples.bags[$0].offsets.base }
    }
    var use = 0
    for sample in 0..<samples.sampleCount {
      var entry = 0
      for bag in offsets {
        for _ in 0..<(bag.map { Int($0[sample + 1] - $0[sample]) } ?? 1) {
          try body(use, sample, entry)
          use += 1
          entry += 1
        }
      }
    }
  }

  /// Hashes every value and gathers the columns of shared tables; ends parsing.
  func finish() {
    let text = text.base
    let capacity = samples.capacity
    for (feature, bag) in layout.bagNumbers.enumerated() {
      if let bag {
        bags[bag].hash(text)
        continue
      }
      let start = feature * capacity
      let (starts, lengths, hashes) = (starts.base + start, lengths.base + start, hashes.base + start)
      for sample in 0..<samples.sampleCount {
        hashes[sample] = Fingerprint.short(
          UnsafeRawBufferPointer(start: text + Int(starts[sample]), count: Int(lengths[sample])))
      }
    }
    for (table, column) in shared.enumerated() { column?.gather(layout.featuresByTable[table], of: self) }
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
  case tooLong, fieldCount, label, integer, category, number, encoding, quote, time, part, weight

  /// In words, for reports.
  public var text: String {
    switch self {
    case .tooLong: "line too long"
    case .fieldCount: "wrong number of fields"
    case .label: "bad label"
    case .integer: "bad integer"
    case .category: "bad category"
    case .number: "bad number"
    case .encoding: "wrong encoding"
    case .quote: "bad quotes"
    case .time: "bad time"
    case .part: "unknown part"
    case .weight: "bad weight"
    }
  }
}
