import Primitives

/// The way from the rows of a batch to the vectors of a sample's categorical features, and of their gradients back.
struct FeatureVectors: Sendable {
  private let features: [FeatureShape]
  /// Per feature: floats of its vector, and where it starts among those of a sample.
  private let widths: [Int]
  private let offsets: [Int]
  private let hasBags: Bool
  /// How many samples ahead rows are asked for: some hundred nanoseconds, the time of a read from memory.
  private let samplesAhead: Int

  /// - Parameter padded: each vector starts at a multiple of eight floats.
  init(_ shape: InputShape, padded: Bool) {
    features = shape.features
    widths = shape.features.map { shape.dimensions[$0.table] }
    var offsets: [Int] = []
    var offset = 0
    for width in widths {
      offsets.append(offset)
      offset += padded ? paddedToVector(width) : width
    }
    self.offsets = offsets
    hasBags = features.contains { $0.bag != nil }
    samplesAhead = max(2, 48 / max(1, features.count))
  }

  var count: Int { features.count }

  /// Writes the vectors of one sample of a chunk, a bag's pooled in entry order. What it writes is a whole number of SIMD
  /// vectors, zero beyond the last weight.
  @inline(__always)
  func gather(_ sample: Int, of pass: Pass, into target: UnsafeMutablePointer<Float>) {
    let batch = pass.batch
    if hasBags { return pool(batch, sample: pass.first + sample, into: target) }
    let (rows, rowFloats, slots) = (batch.rows, batch.rowFloats, batch.slots)
    let (inverse, entryOffsets) = (batch.inverse, batch.entryOffsets)
    let place = pass.first + sample
    let next = sample + samplesAhead < pass.samples ? place + samplesAhead : place
    for index in 0..<features.count {
      let entries = inverse + Int(entryOffsets[index])
      let width = widths[index]
      // The entries of all features are more streams than the CPU foresees; a line holds those of 16 samples.
      if place & 15 == 0 { CPU.prefetch(entries + next + 16) }
      prefetchRow(rows + Int(slots[Int(entries[next])]) * rowFloats, width)
      let row = rows + Int(slots[Int(entries[place])]) * rowFloats
      let vector = target + offsets[index]
      forEachVector(width) { column, lanes in store(load(row + column, lanes), vector + column) }
    }
  }

  private func pool(_ batch: BatchInput, sample: Int, into target: UnsafeMutablePointer<Float>) {
    for (index, feature) in features.enumerated() {
      let vector = target + offsets[index]
      if feature.bag == nil {
        let row = batch.row(batch.inverse[Int(batch.entryOffsets[index]) + sample])
        forEachVector(widths[index]) { column, lanes in store(load(row + column, lanes), vector + column) }
      } else {
        poolVectors(
          batch, bag: batch.bag(index, feature, sample: sample), feature.pooling, width: widths[index],
          into: vector)
      }
    }
  }

  /// Takes the gradient by the vectors of one sample of a chunk to that by the rows.
  @inline(__always)
  func scatter(_ gradient: UnsafePointer<Float>, of sample: Int, _ pass: Pass) {
    let rowShape = pass.rowShape
    let place = pass.first + sample
    let target = pass.rowGradients + place * rowShape.gradientStride
    for index in 0..<features.count {
      let scale = hasBags ? pass.batch.scale(index, features[index], sample: place) : 1
      let from = gradient + offsets[index]
      let to = target + rowShape.gradientOffsets[index]
      forEachVector(widths[index]) { column, lanes in
        store(load(from + column, lanes) * scale, to + column, lanes)
      }
    }
  }

  /// `gather` for prediction: `[floats of a sample × SampleGroup.size]`, places beyond a vector's last weight left as they are.
  func gatherGroup(_ pass: ScorePass, into target: UnsafeMutablePointer<Float>) {
    let size = SampleGroup.size
    let batch = pass.batch
    // Rows are asked for two features, some hundred nanoseconds, before they are read.
    for index in 0..<min(2, features.count) { prefetch(index, pass) }
    for (index, feature) in features.enumerated() {
      let width = widths[index]
      let place = target + offsets[index] * size
      if index + 2 < features.count { prefetch(index + 2, pass) }
      for sample in 0..<pass.samples {
        if feature.bag == nil {
          let row = batch.row(batch.inverse[Int(batch.entryOffsets[index]) + pass.first + sample])
          for column in 0..<width { place[column * size + sample] = row[column] }
        } else {
          withUnsafeTemporaryAllocation(of: Float.self, capacity: paddedToVector(width)) { pooled in
            guard let base = pooled.baseAddress else { return }
            poolVectors(
              batch, bag: batch.bag(index, feature, sample: pass.first + sample), feature.pooling,
              width: width, into: base)
            for column in 0..<width { place[column * size + sample] = base[column] }
          }
        }
      }
    }
  }

  /// Asks for the rows of a feature with one value a sample.
  private func prefetch(_ index: Int, _ pass: ScorePass) {
    let batch = pass.batch
    if features[index].bag != nil { return }
    let entries = batch.inverse + Int(batch.entryOffsets[index]) + pass.first
    for sample in 0..<pass.samples { prefetchRow(batch.row(entries[sample]), widths[index]) }
  }
}

/// Adds up the vectors of a bag's entries in their order; for the mean, times 1 / n at the end. Writes whole SIMD vectors.
private func poolVectors(
  _ batch: BatchInput, bag: Range<Int>, _ pooling: Pooling, width: Int,
  into target: UnsafeMutablePointer<Float>
) {
  let scale: Float = pooling == .sum ? 1 : 1 / Float(max(1, bag.count))
  forEachVector(width) { column, lanes in
    var sum = Vector(repeating: 0)
    for entry in bag { sum += load(batch.row(batch.inverse[entry]) + column, lanes) }
    store(sum * scale, target + column)
  }
}
