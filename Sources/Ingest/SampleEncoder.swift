import BatchStore
import Primitives

/// Collects parsed lines as samples with row numbers.
struct SampleEncoder {
  let samples: SampleBatch
  private let vocabulary: Vocabulary

  init(vocabulary: Vocabulary, capacity: Int) {
    self.vocabulary = vocabulary
    samples = SampleBatch(
      tableCount: CriteoLayout.categoryCount, denseCount: CriteoLayout.integerCount, capacity: capacity)
  }

  var isFull: Bool { samples.sampleCount == samples.capacity }

  mutating func removeAll() { samples.sampleCount = 0 }

  /// Appends one sample.
  /// - Returns: values without and with a row of their own, empty ones left out.
  mutating func append(_ sample: CriteoLine, _ line: UnsafeRawBufferPointer) -> (unseen: Int, known: Int) {
    let position = samples.sampleCount
    let capacity = samples.capacity
    let rows = samples.rows.base
    let starts = sample.starts.base
    let lengths = sample.lengths.base
    var unseen = 0
    var known = 0
    for table in 0..<CriteoLayout.categoryCount {
      let value = UnsafeRawBufferPointer(
        start: line.baseAddress.map { $0 + starts[table] }, count: lengths[table])
      let row = vocabulary.lookup(table: table, value)
      rows[table * capacity + position] = row
      if row == Vocabulary.unseenRow { unseen += 1 }
      if row > Vocabulary.emptyRow { known += 1 }
    }
    let columns = CriteoLayout.integerCount
    (samples.dense.base + position * columns).update(from: sample.dense.base, count: columns)
    samples.labels.base[position] = sample.label
    samples.sampleCount = position + 1
    return (unseen, known)
  }
}
