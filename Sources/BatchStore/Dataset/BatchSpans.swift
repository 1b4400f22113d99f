/// Which samples each batch of a split holds: in every part of the dataset, all batches but the last are full.
public struct BatchSpans: Sendable {
  private let batchSize: Int
  /// By part: its first batch and its first sample.
  private let parts: [(batch: Int, sample: Int)]
  public let batches: Int
  public let samples: Int
  /// Samples of the richest batch.
  public let largest: Int

  /// - Parameter samples: of each part, at least 0.
  init(_ samples: [Int], batchSize: Int) {
    self.batchSize = batchSize
    var parts: [(batch: Int, sample: Int)] = []
    var (batch, sample, largest) = (0, 0, 0)
    for count in samples where count > 0 {
      parts.append((batch, sample))
      batch += (count + batchSize - 1) / batchSize
      sample += count
      largest = max(largest, min(batchSize, count))
    }
    self.parts = parts
    batches = batch
    self.samples = sample
    self.largest = largest
  }

  /// The samples of batch 0 ..< `batches`, counted in the split.
  public func samples(of batch: Int) -> Range<Int> {
    precondition((0..<batches).contains(batch))
    let part = last { $0.batch <= batch }
    let end = part + 1 < parts.count ? parts[part + 1].sample : samples
    let first = parts[part].sample + (batch - parts[part].batch) * batchSize
    return first..<min(first + batchSize, end)
  }

  /// The batch that holds sample 0 ..< `samples`.
  public func batch(holding sample: Int) -> Int {
    precondition((0..<samples).contains(sample))
    let part = parts[last { $0.sample <= sample }]
    return part.batch + (sample - part.sample) / batchSize
  }

  /// The last part for which `isBefore` holds, as it does for the first.
  private func last(_ isBefore: ((batch: Int, sample: Int)) -> Bool) -> Int {
    var (low, high) = (0, parts.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if isBefore(parts[middle]) { low = middle } else { high = middle }
    }
    return low
  }
}
