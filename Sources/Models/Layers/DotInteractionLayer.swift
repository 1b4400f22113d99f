extension NetworkBuilder {
  /// The dot products of all pairs of the features' vectors, `[first, then the lower triangle row by row]`; nil if there are
  /// no features. All tables must have vectors of one size.
  ///
  /// The layer gathers the vectors itself: each sample's are multiplied while they are in the first cache.
  /// - Parameter first: one vector more, which is a part of the output too.
  package func dotInteraction(first: Value?, dimension: Int) -> Value? {
    guard let vectors = featureVectors(padded: true) else { return nil }
    let interaction = DotInteraction(
      vectors: vectors.count + (first == nil ? 0 : 1), dimension: dimension, keepsFirst: first != nil)
    needScratch(interaction.scratchFloats + interaction.sampleStride)
    return add(
      DotInteractionLayer(
        first: first, vectors: vectors, interaction: interaction,
        padded: makeValue(width: interaction.sampleStride, needsGradient: false),
        output: makeValue(width: interaction.width, needsGradient: true)))
  }
}

/// DLRM's dot interaction of the features' vectors, and of the bottom MLP's output if there is one.
struct DotInteractionLayer: Layer {
  let first: Value?
  let vectors: FeatureVectors
  let interaction: DotInteraction
  /// All vectors, each padded to whole SIMD vectors.
  let padded: Value
  let output: Value

  var name: String { "dot interaction" }
  var inputs: [Value] { first.map { [$0] } ?? [] }
  var kept: [Value] { [padded] }
  /// Where the features' vectors start among those of a sample.
  private var firstFeature: Int { first == nil ? 0 : interaction.vectorStride }

  func forward(_ pass: Pass) {
    let scratch = pass.scratch
    let width = interaction.dimension
    for sample in 0..<pass.samples {
      let source = pass.value(padded) + sample * interaction.sampleStride
      vectors.gather(sample, of: pass, into: source + firstFeature)
      if let first {
        let vector = pass.value(first) + sample * width
        forEachVector(width) { column, lanes in store(load(vector + column, lanes), source + column) }
      }
      interaction.forward(source, output: pass.value(output) + sample * interaction.width, scratch: scratch)
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let sampleGradient = pass.scratch
    let width = interaction.dimension
    for sample in 0..<pass.samples {
      interaction.backward(
        pass.value(padded) + sample * interaction.sampleStride,
        outputGradient: gradient + sample * interaction.width, gradient: sampleGradient)
      vectors.scatter(sampleGradient + firstFeature, of: sample, pass)
      guard let first, let target = pass.gradient(first) else { continue }
      let adds = pass.addsGradient(first)
      let place = target + sample * width
      forEachVector(width) { column, lanes in
        let part = load(sampleGradient + column)
        store(adds ? load(place + column, lanes) + part : part, place + column, lanes)
      }
    }
  }

  func score(_ pass: ScorePass) {
    let all = pass.value(padded)
    let size = SampleGroup.size
    if let first { all.update(from: pass.value(first), count: first.width * size) }
    vectors.gatherGroup(pass, into: all + firstFeature * size)
    interaction.forwardGroup(all, output: pass.value(output))
  }
}
