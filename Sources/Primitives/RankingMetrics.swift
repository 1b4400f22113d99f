#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Measures of binary predictions, exact in bounded memory.
///
/// Feed every sample with `add`, in a fixed order, then call `finish` once. Scores with their labels are kept as 32-bit
/// keys (4 bytes, and 4 to sort) up to the budget; beyond it sorted runs go to a temporary file and are merged at the end.
public final class RankingMetrics {
  /// The measures of all samples. Those that need both classes, or a positive label, are nil without.
  public struct Summary: Equatable, Sendable {
    public let samples: Int
    /// Area under the ROC curve: the share of (positive, negative) pairs that are ranked right, ties counted half
    /// (Mann and Whitney). Exact up to the final division.
    public let auc: Double?
    /// Mean negative log likelihood, natural logarithm, with probabilities clamped to 1e-7 … 1 - 1e-7.
    public let logLoss: Double
    public let meanPrediction: Double
    public let meanLabel: Double
    /// Mean prediction over mean label.
    public let calibration: Double?
    /// Log loss over the entropy of the mean label (He et al., "Practical Lessons from Predicting Clicks on Ads at
    /// Facebook", 2014, section 3).
    public let normalizedEntropy: Double?
  }

  private let capacity: Int
  /// Keys, then as many for sorting. Pages that are never filled cost nothing.
  private let keys: UnsafeMutablePointer<UInt32>
  private let spillDirectory: String
  private var count = 0
  private var spill: File?
  /// Where each run ends in the file, in keys.
  private var runEnds: [Int] = []
  private var samples = 0
  private var positives = 0
  private var lossSum = 0.0
  private var predictionSum = 0.0

  /// - Parameters:
  ///   - memoryBytes: budget for the keys; at least 1 KiB is used. 64 MiB holds 8 million samples.
  ///   - spillDirectory: where the temporary file lies if the budget is not enough.
  public init(memoryBytes: Int = 64 << 20, spillDirectory: String = "/tmp") {
    capacity = max(128, memoryBytes / 8)
    keys = .allocate(capacity: 2 * capacity)
    self.spillDirectory = spillDirectory
  }

  deinit { keys.deallocate() }

  /// Adds one sample.
  /// - Parameters:
  ///   - score: probability of the positive class, in 0 … 1; anything else is an error.
  ///   - label: 0 or 1.
  public func add(score: Float, label: Float) throws {
    guard score >= 0, score <= 1 else {
      throw ChanterError(.badInput, "the prediction of sample \(samples) is \(score), not a probability")
    }
    let isPositive = label != 0
    if count == capacity { try spillRun() }
    // Bits of a float that is not negative order as the floats do; adding 0 makes -0 a plain 0.
    keys[count] = (score + 0).bitPattern << 1 | (isPositive ? 1 : 0)
    count += 1
    samples += 1
    if isPositive { positives += 1 }
    let clamped = min(max(Double(score), 1e-7), 1 - 1e-7)
    lossSum -= isPositive ? log(clamped) : log(1 - clamped)
    predictionSum += Double(score)
  }

  /// The measures of everything that was added. Call once; at least one sample.
  public func finish() throws -> Summary {
    precondition(samples > 0, "metrics of no sample")
    let negatives = samples - positives
    var counter = PairCounter()
    if spill == nil {
      sort()
      for position in 0..<count { counter.add(keys[position]) }
    } else {
      try spillRun()
      try merge(into: &counter)
    }
    let total = Double(samples)
    let meanLabel = Double(positives) / total
    let hasBoth = positives > 0 && negatives > 0
    let entropy = -(meanLabel * log(meanLabel) + (1 - meanLabel) * log(1 - meanLabel))
    return Summary(
      samples: samples,
      auc: hasBoth ? Double(counter.finish()) / 2 / (Double(positives) * Double(negatives)) : nil,
      logLoss: lossSum / total, meanPrediction: predictionSum / total, meanLabel: meanLabel,
      calibration: positives > 0 ? predictionSum / Double(positives) : nil,
      normalizedEntropy: hasBoth ? lossSum / total / entropy : nil)
  }

  /// Counts pairs over keys in ascending order, doubled so that ties count half in integers.
  private struct PairCounter {
    private var score: UInt32 = .max
    private var tiedNegatives = 0
    private var tiedPositives = 0
    private var negativesBelow = 0
    private var doubledPairs: UInt128 = 0

    mutating func add(_ key: UInt32) {
      if key >> 1 != score {
        endGroup()
        score = key >> 1
      }
      if key & 1 == 1 { tiedPositives += 1 } else { tiedNegatives += 1 }
    }

    private mutating func endGroup() {
      doubledPairs += UInt128(tiedPositives) * UInt128(2 * negativesBelow + tiedNegatives)
      negativesBelow += tiedNegatives
      tiedNegatives = 0
      tiedPositives = 0
    }

    mutating func finish() -> UInt128 {
      endGroup()
      return doubledPairs
    }
  }

  /// Sorts the keys in memory, by bytes from the lowest.
  private func sort() {
    var source = keys
    var target = keys + capacity
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 256) { starts in
      for shift in stride(from: UInt32(0), to: 32, by: 8) {
        starts.initialize(repeating: 0)
        for position in 0..<count { starts[Int((source[position] >> shift) & 0xFF)] += 1 }
        var total = 0
        for digit in 0..<256 {
          let size = starts[digit]
          starts[digit] = total
          total += size
        }
        for position in 0..<count {
          let digit = Int((source[position] >> shift) & 0xFF)
          target[starts[digit]] = source[position]
          starts[digit] += 1
        }
        swap(&source, &target)
      }
    }
    // Four passes: the result is back in the first half.
  }

  private func spillRun() throws {
    sort()
    let file = try spill ?? File(temporaryIn: spillDirectory)
    spill = file
    try file.write(UnsafeRawBufferPointer(start: keys, count: 4 * count))
    runEnds.append((runEnds.last ?? 0) + count)
    count = 0
  }

  /// Merges the runs through equal shares of the key memory.
  private func merge(into counter: inout PairCounter) throws {
    guard let spill else { return }
    guard runEnds.count <= 2 * capacity else {
      throw ChanterError(.budget, "\(samples) samples are too many for metrics in \(8 * capacity) bytes")
    }
    let share = 2 * capacity / runEnds.count
    var runs: [Run] = []
    for (number, end) in runEnds.enumerated() {
      let start = number == 0 ? 0 : runEnds[number - 1]
      var run = Run(buffer: keys + number * share, capacity: share, position: start, end: end)
      if try run.advance(spill) { runs.append(run) }
    }
    // A binary heap with the smallest head first; which of two equal heads comes first makes no difference.
    for root in stride(from: runs.count / 2 - 1, through: 0, by: -1) { Self.siftDown(&runs, root) }
    while !runs.isEmpty {
      counter.add(runs[0].head)
      if try !runs[0].advance(spill) {
        runs.swapAt(0, runs.count - 1)
        runs.removeLast()
      }
      Self.siftDown(&runs, 0)
    }
  }

  /// One sorted run being read.
  private struct Run {
    let buffer: UnsafeMutablePointer<UInt32>
    let capacity: Int
    /// The next key to load, and the end of the run, in keys of the file.
    var position: Int
    let end: Int
    var next = 0
    var loaded = 0
    var head: UInt32 = 0

    init(buffer: UnsafeMutablePointer<UInt32>, capacity: Int, position: Int, end: Int) {
      self.buffer = buffer
      self.capacity = capacity
      self.position = position
      self.end = end
    }

    /// Moves to the next key; false at the end of the run.
    mutating func advance(_ file: File) throws -> Bool {
      if next == loaded {
        loaded = min(capacity, end - position)
        if loaded == 0 { return false }
        try file.read(at: 4 * position, into: buffer, count: 4 * loaded)
        position += loaded
        next = 0
      }
      head = buffer[next]
      next += 1
      return true
    }
  }

  private static func siftDown(_ runs: inout [Run], _ root: Int) {
    var parent = root
    while true {
      var child = 2 * parent + 1
      guard child < runs.count else { return }
      if child + 1 < runs.count, runs[child + 1].head < runs[child].head { child += 1 }
      guard runs[child].head < runs[parent].head else { return }
      runs.swapAt(parent, child)
      parent = child
    }
  }
}
