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
  private let vectors: FeatureVectors

  init(_ vectors: FeatureVectors, output: Value) {
    self.output = output
    self.vectors = vectors
  }

  var name: String { "embeddings" }
  var inputs: [Value] { [] }

  func forward(_ pass: Pass) {
    let target = pass.value(output)
    for sample in 0..<pass.samples { vectors.gather(sample, of: pass, into: target + sample * output.width) }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    for sample in 0..<pass.samples {
      vectors.scatter(gradient + sample * output.width, of: sample, pass)
    }
  }

  func score(_ pass: ScorePass) { vectors.gatherGroup(pass, into: pass.value(output)) }
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
