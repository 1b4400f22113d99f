public import BatchStore
import Primitives

/// Turns raw lines into batches through a vocabulary, for predicting without a dataset.
///
/// The label column may be absent (39 fields); the first line decides, and labels are 0 then. Next uses are 0.
public final class RawEncoder {
  /// What a batch for `next` must have room for.
  public let layout: BatchLayout
  private let reader: LineReader
  private var parser = CriteoParser(labelIsOptional: true)
  private let encoder: SampleEncoder
  private let builder: BatchBuilder
  private var batches = 0

  /// - Parameters:
  ///   - path: a Criteo TSV file with or without labels; `-` is standard input.
  ///   - vocabulary: with the 26 tables of Criteo's layout.
  ///   - maximumSamples: samples of every batch but the last.
  public init(_ path: String, vocabulary: Vocabulary, maximumSamples: Int) throws {
    guard vocabulary.tables.map(\.name) == CriteoLayout.tableNames else {
      throw ChanterError(
        .mismatch, "the vocabulary has other columns than a Criteo log; use the log's own dataset", path: path
      )
    }
    precondition(maximumSamples >= 1)
    reader = try LineReader(path)
    layout = BatchBuilder.layout(shape: CriteoLayout.layout.shape, capacity: maximumSamples)
    encoder = SampleEncoder(vocabulary: vocabulary, capacity: maximumSamples)
    builder = BatchBuilder(shape: layout.shape)
  }

  /// Fills `batch` with the next samples in input order; false after the last. An input without lines is an error.
  public func next(into batch: Batch) throws -> Bool {
    encoder.removeAll()
    while !encoder.isFull, let bytes = try reader.next() {
      try encoder.append(bytes, &parser, at: reader)
    }
    if encoder.samples.sampleCount == 0 {
      guard batches > 0 else {
        throw ChanterError(
          .badInput, "the file is empty; give a log with at least one line", path: reader.path)
      }
      return false
    }
    builder.build(encoder.samples, index: batches, into: batch)
    batches += 1
    return true
  }
}
