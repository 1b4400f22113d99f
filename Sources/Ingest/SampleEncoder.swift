import BatchStore
import Primitives

/// Collects parsed lines as samples with the rows of a vocabulary.
struct SampleEncoder {
  let samples: SampleBatch
  private let vocabulary: Vocabulary
  /// Where the values of a line lie in it.
  private let starts = AlignedBuffer<UInt32>(count: CriteoLayout.categoryCount)
  private let lengths = AlignedBuffer<UInt16>(count: CriteoLayout.categoryCount)

  init(vocabulary: Vocabulary, capacity: Int) {
    self.vocabulary = vocabulary
    samples = SampleBatch(shape: CriteoLayout.layout.shape, capacity: capacity)
  }

  var isFull: Bool { samples.sampleCount == samples.capacity }

  func removeAll() { samples.sampleCount = 0 }

  /// Parses `line` and appends it; `place` says where an error lies.
  func append(_ line: UnsafeRawBufferPointer, _ parser: inout CriteoParser, at place: LineReader) throws {
    let position = samples.sampleCount
    try parser.parse(
      line,
      into: LineTarget(
        label: samples.labels.base + position,
        dense: samples.dense.base + position * CriteoLayout.integerCount, starts: starts.base,
        lengths: lengths.base, stride: 1), at: place)
    for table in 0..<CriteoLayout.categoryCount {
      let value = UnsafeRawBufferPointer(
        start: line.baseAddress.map { $0 + Int(starts.base[table]) }, count: Int(lengths.base[table]))
      samples.rows.base[table * samples.capacity + position] = vocabulary.lookup(table: table, value)
    }
    samples.sampleCount = position + 1
  }
}
