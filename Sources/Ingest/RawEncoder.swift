public import BatchStore
import Primitives

/// Turns raw lines into batches through a vocabulary, for predicting without a dataset.
///
/// The label column may be absent, and so may those that only preprocessing needs; labels are 0 then. Next uses are 0.
public final class RawEncoder {
  /// What a batch for `next` must have room for.
  public let layout: BatchLayout
  private let path: String
  private var parser: any BlockParser
  private let precision: DensePrecision
  private let vocabulary: Vocabulary
  private let reader: TextReader
  private let samples: SampleBatch
  private let builder: BatchBuilder
  private var block: TextBlock?
  /// Samples of the block that were taken.
  private var taken = 0
  private var lines = 0
  private var batches = 0
  /// Blocks: one is read, one is parsed.
  private static let blocks = 2

  /// - Parameters:
  ///   - path: an input of this schema; `-` is standard input.
  ///   - precision: what dense columns are rounded to.
  ///   - vocabulary: with the tables of the schema.
  ///   - maximumSamples: samples of every batch but the last; fewer where bags are long.
  public init(
    _ path: String, schema: Schema, precision: DensePrecision, vocabulary: Vocabulary, maximumSamples: Int
  ) throws {
    precondition(maximumSamples >= 1)
    parser = try schema.parser(predicts: true, precision: precision)
    let input = parser.layout
    guard vocabulary.tables.map(\.name) == input.tableNames else {
      throw ChanterError(
        .mismatch, "the vocabulary has other tables than the schema; restore the model from a copy",
        path: path)
    }
    self.path = path
    self.precision = precision
    self.vocabulary = vocabulary
    // A line has fewer entries than a block, and where many are long, batches have fewer samples.
    let usual = PreprocessMemory.usualBagLength * input.shape.bagCount
    let bagEntries =
      input.shape.bagCount == 0
      ? 0 : max(TextBlock.bytes, min(input.maximumBagLength ?? usual, usual) * maximumSamples)
    layout = BatchBuilder.layout(shape: input.shape, capacity: maximumSamples, bagEntries: bagEntries)
    samples = SampleBatch(shape: input.shape, capacity: maximumSamples)
    builder = BatchBuilder(shape: input.shape)
    reader = try TextReader([path], layout: input, blocks: Self.blocks)
  }

  /// Memory beside the vocabulary and the batches that are filled.
  public var bytes: Int {
    Self.blocks * TextBlock.memory(parser.layout)
      + SampleBatch.bytes(shape: layout.shape, capacity: layout.maximumSamples) + 13 * layout.maximumEntries
  }

  /// Fills `batch` with the next samples in input order; false after the last. An input without lines is an error.
  public func next(into batch: Batch) throws -> Bool {
    samples.sampleCount = 0
    while samples.sampleCount < samples.capacity {
      guard let block = try blockWithSamples() else { break }
      let count = fitting(block)
      if count == 0 { break }
      samples.append(block.samples, taken..<taken + count)
      taken += count
    }
    if samples.sampleCount == 0 {
      guard lines > 0 else {
        throw ChanterError(
          .badInput, "the file is empty; give a log with at least one line", path: path)
      }
      return false
    }
    builder.build(samples, index: batches, into: batch)
    batches += 1
    return true
  }

  /// How many samples of the block the batch still has room for.
  private func fitting(_ block: TextBlock) -> Int {
    let count = min(block.samples.sampleCount - taken, samples.capacity - samples.sampleCount)
    guard layout.bagCount > 0 else { return count }
    var room = layout.maximumEntries - layout.shape.singleCount * layout.maximumSamples
    for bag in samples.bags { room -= bag.entryCount(of: samples.sampleCount) }
    for next in 0..<count {
      for bag in block.samples.bags {
        room -= bag.entryCount(of: taken + next + 1) - bag.entryCount(of: taken + next)
      }
      if room < 0 { return next }
    }
    return count
  }

  /// The block that has samples left, with their rows; nil at the end.
  private func blockWithSamples() throws -> TextBlock? {
    while true {
      if let block, taken < block.samples.sampleCount { return block }
      if let block { try reader.giveBack(block) }
      block = nil
      taken = 0
      guard let next = try reader.next() else { return nil }
      if next.isFirst { try parser.begin(next, path: path) }
      parser.parse(next)
      if let problem = next.problems.errors(path: path, after: lines).first { throw problem }
      lines += next.lines
      try prepare(next)
      block = next
    }
  }

  private func prepare(_ block: TextBlock) throws {
    for table in vocabulary.tables.indices {
      let column = block.column(table)
      let rows = block.rows(table)
      for use in 0..<column.count { rows[use] = vocabulary.lookup(table: table, column.value(use)) }
      block.scatter(table)
    }
    try block.samples.round(to: precision)
  }
}
