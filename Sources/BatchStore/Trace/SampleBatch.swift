public import Primitives

/// Samples in the form in which they are made: row numbers by feature and sample, before duplicates are found.
///
/// Fill the buffers, set `sampleCount`, and give it to `BatchBuilder` or `DatasetWriter`.
public final class SampleBatch {
  public let shape: SampleShape
  /// Samples that fit.
  public let capacity: Int
  public var sampleCount = 0
  /// `[features x capacity]`: the row that sample i has of the single-valued feature f is at `f * capacity + i`. What a
  /// bag's part holds means nothing.
  public let rows: AlignedBuffer<UInt32>
  /// The entries of each bag feature, in the order of the features.
  public let bags: [BagColumn]
  /// `[sampleCount x denseCount]`, row-major.
  public let dense: AlignedBuffer<Float>
  /// `[sampleCount]`, 0 or 1.
  public let labels: AlignedBuffer<Float>
  /// `[sampleCount]`, above 0; starts as 1.
  public let weights: AlignedBuffer<Float>
  /// `[sampleCount]`; empty without times.
  public let times: AlignedBuffer<Int64>

  public init(shape: SampleShape, capacity: Int) {
    self.shape = shape
    self.capacity = capacity
    rows = AlignedBuffer(count: shape.featureCount * capacity)
    bags = (0..<shape.bagCount).map { _ in BagColumn(capacity: capacity) }
    dense = AlignedBuffer(count: capacity * shape.denseCount)
    labels = AlignedBuffer(count: capacity)
    weights = AlignedBuffer(count: capacity)
    weights.base.update(repeating: 1, count: capacity)
    times = AlignedBuffer(count: shape.hasTimes ? capacity : 0)
  }

  /// One single-valued feature a table.
  public convenience init(tableCount: Int, denseCount: Int, capacity: Int) {
    self.init(shape: SampleShape(tableCount: tableCount, denseCount: denseCount), capacity: capacity)
  }

  public var tableCount: Int { shape.tableCount }
  public var denseCount: Int { shape.denseCount }

  /// Entries of all features.
  public var entryCount: Int {
    bags.reduce(shape.singleCount * sampleCount) { $0 + $1.entryCount(of: sampleCount) }
  }

  /// Bytes of one, without the entries of its bags, which take up to 12 each while they grow.
  public static func bytes(shape: SampleShape, capacity: Int) -> Int {
    4 * capacity * (shape.featureCount + shape.bagCount + shape.denseCount + (shape.hasTimes ? 4 : 2))
  }

  /// Appends the samples `range` of another batch of the same shape; there must be room.
  public func append(_ other: SampleBatch, _ range: Range<Int>) {
    precondition(
      sampleCount + range.count <= capacity && range.upperBound <= other.capacity && other.shape == shape)
    for feature in 0..<shape.featureCount {
      (rows.base + feature * capacity + sampleCount).update(
        from: other.rows.base + feature * other.capacity + range.lowerBound, count: range.count)
    }
    for (bag, source) in zip(bags, other.bags) { bag.append(source, range, at: sampleCount) }
    (dense.base + sampleCount * denseCount).update(
      from: other.dense.base + range.lowerBound * denseCount, count: range.count * denseCount)
    (labels.base + sampleCount).update(from: other.labels.base + range.lowerBound, count: range.count)
    (weights.base + sampleCount).update(from: other.weights.base + range.lowerBound, count: range.count)
    if shape.hasTimes {
      (times.base + sampleCount).update(from: other.times.base + range.lowerBound, count: range.count)
    }
    sampleCount += range.count
  }

  /// Appends the samples `positions` of another batch of the same shape, in this order; there must be room.
  public func append(_ other: SampleBatch, positions: UnsafeBufferPointer<UInt32>) {
    precondition(sampleCount + positions.count <= capacity && other.shape == shape)
    func gather<Element>(
      _ source: UnsafePointer<Element>, _ target: UnsafeMutablePointer<Element>, width: Int = 1
    ) {
      for (place, position) in positions.enumerated() {
        (target + place * width).update(from: source + Int(position) * width, count: width)
      }
    }
    for (feature, kind) in shape.features.enumerated() where !kind.isBag {
      gather(other.rows.base + feature * other.capacity, rows.base + feature * capacity + sampleCount)
    }
    for (bag, source) in zip(bags, other.bags) {
      for (place, position) in positions.enumerated() {
        bag.append(source, Int(position)..<Int(position) + 1, at: sampleCount + place)
      }
    }
    gather(other.dense.base, dense.base + sampleCount * denseCount, width: denseCount)
    gather(other.labels.base, labels.base + sampleCount)
    gather(other.weights.base, weights.base + sampleCount)
    if shape.hasTimes { gather(other.times.base, times.base + sampleCount) }
    sampleCount += positions.count
  }

  /// Appends the samples `range` of a batch of the same shape; there must be room.
  public func append(_ batch: Batch, _ range: Range<Int>) {
    precondition(
      sampleCount + range.count <= capacity && range.upperBound <= batch.sampleCount
        && batch.layout.shape == shape)
    let keys = batch.keys.base
    var bag = 0
    for (feature, kind) in shape.features.enumerated() {
      let inverse = batch.inverse.base + Int(batch.entryOffsets.base[feature])
      if kind.isBag {
        let offsets = batch.bagOffsets.base + bag * (batch.sampleCount + 1)
        bags[bag].append(offsets, range, at: sampleCount) { keys[Int(inverse[$0])].row }
        bag += 1
      } else {
        let target = rows.base + feature * capacity + sampleCount - range.lowerBound
        for sample in range { target[sample] = keys[Int(inverse[sample])].row }
      }
    }
    (dense.base + sampleCount * denseCount).update(
      from: batch.dense.base + range.lowerBound * denseCount, count: range.count * denseCount)
    (labels.base + sampleCount).update(from: batch.labels.base + range.lowerBound, count: range.count)
    (weights.base + sampleCount).update(from: batch.weights.base + range.lowerBound, count: range.count)
    if shape.hasTimes {
      (times.base + sampleCount).update(from: batch.times.base + range.lowerBound, count: range.count)
    }
    sampleCount += range.count
  }
}

extension SampleBatch {
  /// Calls `body` with the place of each row that some features have, sample by sample and in each feature by feature: the
  /// order in which the values of a table are numbered.
  /// - Parameter features: numbers of features, ascending.
  public func forEachEntry(
    of features: [Int], in range: Range<Int>, _ body: (UnsafeMutablePointer<UInt32>) -> Void
  ) {
    let columns = features.map { feature in
      let isBag = shape.features[feature].isBag
      let bag = isBag ? bags[shape.features[..<feature].count { $0.isBag }] : nil
      return (rows: bag?.rows ?? rows.base + feature * capacity, offsets: bag?.offsets.base)
    }
    for sample in range {
      for column in columns {
        if let offsets = column.offsets {
          for entry in Int(offsets[sample])..<Int(offsets[sample + 1]) { body(column.rows + entry) }
        } else {
          body(column.rows + sample)
        }
      }
    }
  }
}

extension SampleBatch {
  /// Rounds dense columns as a dataset of this precision stores them.
  /// - Throws: `.badInput` for a value that it cannot hold.
  public func round(to precision: DensePrecision) throws {
    guard precision == .fp16 else { return }
    try requireHalves()
    for index in 0..<sampleCount * denseCount { dense.base[index] = Float(Float16(dense.base[index])) }
  }

  func requireHalves() throws {
    for index in 0..<sampleCount * denseCount
    where !(dense.base[index].magnitude <= DensePrecision.fp16.largest) {
      throw ChanterError(
        .badInput,
        "dense column \(index % denseCount + 1) has the value \(dense.base[index]), and half precision ends at 65,504;"
          + " use --dense fp32 in preprocessing, or another transform")
    }
  }
}

/// The entries of one bag feature: as many rows a sample as it has.
public final class BagColumn {
  /// `[samples + 1]`: sample i has the entries `offsets[i] ..< offsets[i + 1]`; the first is 0.
  public let offsets: AlignedBuffer<UInt32>
  private let entries = GrowableBuffer<UInt32>()

  init(capacity: Int) { offsets = AlignedBuffer(count: capacity + 1) }

  /// The rows of all entries, sample by sample; moves when `resize` is called.
  public var rows: UnsafeMutablePointer<UInt32> { entries.base }

  /// Entries of the first `samples` samples.
  public func entryCount(of samples: Int) -> Int { Int(offsets.base[samples]) }

  /// Makes room for `count` entries, of which those that were there stay.
  /// - Returns: where the first of them lies.
  @discardableResult
  public func resize(to count: Int) -> UnsafeMutablePointer<UInt32> {
    if count > entries.count {
      _ = entries.extend(by: count - entries.count)
    } else {
      entries.truncate(to: count)
    }
    return entries.base
  }

  /// Sets the entries of sample `sample`; those of the samples before are set already.
  public func set(_ sample: Int, _ rows: some Collection<UInt32>) {
    var position = Int(offsets.base[sample])
    let target = resize(to: position + rows.count)
    for row in rows {
      target[position] = row
      position += 1
    }
    offsets.base[sample + 1] = UInt32(position)
  }

  fileprivate func append(_ source: BagColumn, _ range: Range<Int>, at sample: Int) {
    let rows = source.rows
    append(source.offsets.base, range, at: sample) { rows[$0] }
  }

  /// Appends the entries that `from` gives the samples `range`, of which `row` has the rows.
  @inline(__always)
  fileprivate func append(
    _ from: UnsafePointer<UInt32>, _ range: Range<Int>, at sample: Int, row: (Int) -> UInt32
  ) {
    let first = Int(from[range.lowerBound])
    let count = Int(from[range.upperBound]) - first
    let start = Int(offsets.base[sample])
    let target = resize(to: start + count) + start
    for entry in 0..<count { target[entry] = row(first + entry) }
    for position in 0..<range.count {
      offsets.base[sample + position + 1] = UInt32(
        start + Int(from[range.lowerBound + position + 1]) - first)
    }
  }
}
