import Primitives

/// The dense features of a sample.
struct DenseFeatures: Layer {
  let output: Value
  var name: String { "dense features" }
  var inputs: [Value] { [] }

  func forward(_ pass: Pass) {
    pass.value(output).update(
      from: pass.batch.dense + pass.first * output.width, count: pass.samples * output.width)
  }

  func backward(_ pass: Pass) {}

  func score(_ pass: ScorePass) {
    let target = pass.value(output)
    for sample in 0..<pass.samples {
      let source = pass.batch.dense + (pass.first + sample) * output.width
      for column in 0..<output.width { target[column * SampleGroup.size + sample] = source[column] }
    }
  }
}

/// The vectors of all categorical features of a sample side by side; a bag's are pooled in entry order.
struct EmbeddingVectors: Layer {
  let output: Value
  private let features: [FeatureShape]
  /// Per feature: floats of its vector, and where it starts in the output.
  private let widths: [Int]
  private let offsets: [Int]

  init(_ shape: InputShape, output: Value) {
    self.output = output
    features = shape.features
    widths = shape.features.map { shape.dimensions[$0.table] }
    offsets = widths.indices.map { [widths] in widths[..<$0].reduce(0, +) }
  }

  var name: String { "embeddings" }
  var inputs: [Value] { [] }

  func forward(_ pass: Pass) {
    let target = pass.value(output)
    for (index, feature) in features.enumerated() {
      let place = target + offsets[index]
      if feature.bag == nil {
        gatherVectors(pass.entries(index), pass, width: widths[index], into: place, stride: output.width)
      } else {
        for sample in 0..<pass.samples {
          poolVectors(
            pass.batch, bag: pass.batch.bag(index, feature, sample: pass.first + sample), feature.pooling,
            width: widths[index], into: place + sample * output.width)
        }
      }
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let rowShape = pass.rowShape
    for (index, feature) in features.enumerated() {
      let width = widths[index]
      let source = gradient + offsets[index]
      let target =
        pass.rowGradients + pass.first * rowShape.gradientStride + rowShape.gradientOffsets[index]
      for sample in 0..<pass.samples {
        let scale = pass.batch.scale(index, feature, sample: pass.first + sample)
        let from = source + sample * output.width
        let to = target + sample * rowShape.gradientStride
        forEachVector(width) { column, lanes in
          store(load(from + column, lanes) * scale, to + column, lanes)
        }
      }
    }
  }

  func score(_ pass: ScorePass) {
    let target = pass.value(output)
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
}

extension EmbeddingVectors {
  /// Asks for the rows of a feature with one value a sample.
  private func prefetch(_ index: Int, _ pass: ScorePass) {
    let batch = pass.batch
    if features[index].bag != nil { return }
    let entries = batch.inverse + Int(batch.entryOffsets[index]) + pass.first
    for sample in 0..<pass.samples { prefetchRow(batch.row(entries[sample]), widths[index]) }
  }
}

/// Asks for all cache lines of a row's weights; a row may start anywhere in a line.
@inline(__always)
func prefetchRow(_ row: UnsafePointer<Float>, _ width: Int) {
  var column = 0
  while column < width {
    CPU.prefetch(row + column)
    column += 16
  }
  CPU.prefetch(row + width - 1)
}

/// The sum of the first-order weights of a sample's categorical features, feature by feature: the linear part of factorization
/// machines and the wide part of Wide & Deep. A weight lies behind the vector of its row.
struct FirstOrderWeights: Layer {
  let output: Value
  private let features: [FeatureShape]

  init(_ shape: InputShape, output: Value) {
    self.output = output
    features = shape.features
  }

  var name: String { "first-order weights" }
  var inputs: [Value] { [] }

  func forward(_ pass: Pass) {
    let target = pass.value(output)
    for sample in 0..<pass.samples {
      target[sample] = sum(pass.batch, pass.rowShape, sample: pass.first + sample)
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let rowShape = pass.rowShape
    for (index, feature) in features.enumerated() {
      let place = rowShape.gradientOffsets[index] + rowShape.vectors[feature.table]
      for sample in 0..<pass.samples {
        let scale = pass.batch.scale(index, feature, sample: pass.first + sample)
        pass.rowGradients[(pass.first + sample) * rowShape.gradientStride + place] = gradient[sample] * scale
      }
    }
  }

  func score(_ pass: ScorePass) {
    let target = pass.value(output)
    for sample in 0..<pass.samples {
      target[sample] = sum(pass.batch, pass.rowShape, sample: pass.first + sample)
    }
  }

  private func sum(_ batch: BatchInput, _ rowShape: RowShape, sample: Int) -> Float {
    var total: Float = 0
    for (index, feature) in features.enumerated() {
      let place = rowShape.vectors[feature.table]
      if feature.bag == nil {
        total += batch.row(batch.inverse[Int(batch.entryOffsets[index]) + sample])[place]
      } else {
        let bag = batch.bag(index, feature, sample: sample)
        var pooled: Float = 0
        for entry in bag { pooled += batch.row(batch.inverse[entry])[place] }
        total += pooled * batch.scale(index, feature, sample: sample)
      }
    }
    return total
  }
}

extension BatchInput {
  /// The row of a unique position.
  @inline(__always)
  func row(_ position: UInt32) -> UnsafeMutablePointer<Float> { rows + Int(slots[Int(position)]) * rowFloats }

  /// The entries of one sample of a bag.
  @inline(__always)
  func bag(_ index: Int, _ feature: FeatureShape, sample: Int) -> Range<Int> {
    guard let bag = feature.bag, let bagOffsets else { preconditionFailure("not a bag") }
    let offsets = bagOffsets + bag * (sampleCount + 1) + sample
    let first = Int(entryOffsets[index])
    return first + Int(offsets[0])..<first + Int(offsets[1])
  }

  /// What each entry of a sample counts: 1, or 1 / n for the mean of n.
  @inline(__always)
  func scale(_ index: Int, _ feature: FeatureShape, sample: Int) -> Float {
    if feature.bag == nil || feature.pooling == .sum { return 1 }
    return 1 / Float(max(1, bag(index, feature, sample: sample).count))
  }
}

extension Pass {
  /// The entries of a single-valued feature, from the chunk's first sample on.
  fileprivate func entries(_ feature: Int) -> UnsafePointer<UInt32> {
    batch.inverse + Int(batch.entryOffsets[feature]) + first
  }
}

/// Copies the vectors that a chunk's entries use to `target`, one every `stride` floats.
private func gatherVectors(
  _ entries: UnsafePointer<UInt32>, _ pass: Pass, width: Int, into target: UnsafeMutablePointer<Float>,
  stride: Int
) {
  let rows = pass.batch.rows
  let rowFloats = pass.batch.rowFloats
  let slots = pass.batch.slots
  let samples = pass.samples
  // How many samples ahead a row is asked for: a few hundred nanoseconds, the time of a read from memory.
  let ahead = 16
  for sample in 0..<samples {
    if sample + ahead < samples {
      prefetchRow(rows + Int(slots[Int(entries[sample + ahead])]) * rowFloats, width)
    }
    let source = rows + Int(slots[Int(entries[sample])]) * rowFloats
    let place = target + sample * stride
    forEachVector(width) { column, lanes in store(load(source + column, lanes), place + column, lanes) }
  }
}

/// Adds up the vectors of a bag's entries in their order; for the mean, times 1 / n at the end.
private func poolVectors(
  _ batch: BatchInput, bag: Range<Int>, _ pooling: Pooling, width: Int,
  into target: UnsafeMutablePointer<Float>
) {
  let scale: Float = pooling == .sum ? 1 : 1 / Float(max(1, bag.count))
  forEachVector(width) { column, lanes in
    var sum = Vector(repeating: 0)
    for entry in bag { sum += load(batch.row(batch.inverse[entry]) + column, lanes) }
    store(sum * scale, target + column, lanes)
  }
}
