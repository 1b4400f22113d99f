extension NetworkBuilder {
  /// The dot products of all pairs of vectors, `[first, then the lower triangle row by row]`. All tables must have
  /// vectors of one size.
  /// - Parameters:
  ///   - first: one vector more, which is a part of the output too.
  ///   - vectors: the features' vectors side by side.
  package func dotInteraction(first: Value?, vectors: Value, dimension: Int) -> Value {
    let count = vectors.width / dimension + (first == nil ? 0 : 1)
    let interaction = DotInteraction(vectors: count, dimension: dimension, keepsFirst: first != nil)
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
  let vectors: Value
  let interaction: DotInteraction
  /// All vectors, each padded to whole SIMD vectors.
  let padded: Value
  let output: Value

  var name: String { "dot interaction" }
  var inputs: [Value] { first.map { [$0, vectors] } ?? [vectors] }
  var kept: [Value] { [padded] }

  func forward(_ pass: Pass) {
    if let first { pad(pass.value(first), vectors: 1, at: 0, pass) }
    let others = vectors.width / interaction.dimension
    pad(pass.value(vectors), vectors: others, at: interaction.vectors - others, pass)
    interaction.forward(
      pass.value(padded), output: pass.value(output), scratch: pass.scratch, samples: pass.samples)
  }

  /// Copies `vectors` vectors of each sample to the places from `place` on.
  private func pad(_ source: UnsafePointer<Float>, vectors: Int, at place: Int, _ pass: Pass) {
    let dimension = interaction.dimension
    let stride = interaction.vectorStride
    let target = pass.value(padded) + place * stride
    for sample in 0..<pass.samples {
      for vector in 0..<vectors {
        let from = source + (sample * vectors + vector) * dimension
        let to = target + sample * interaction.sampleStride + vector * stride
        forEachVector(dimension) { column, lanes in store(load(from + column, lanes), to + column) }
      }
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let scratch = pass.scratch
    let sampleGradient = scratch + interaction.scratchFloats
    let others = vectors.width / interaction.dimension
    for sample in 0..<pass.samples {
      interaction.backward(
        pass.value(padded) + sample * interaction.sampleStride,
        outputGradient: gradient + sample * interaction.width, gradient: sampleGradient, scratch: scratch)
      if let first { unpad(sampleGradient, vectors: 1, to: first, sample: sample, pass) }
      unpad(
        sampleGradient + (interaction.vectors - others) * interaction.vectorStride, vectors: others,
        to: vectors, sample: sample, pass)
    }
  }

  private func unpad(
    _ source: UnsafePointer<Float>, vectors: Int, to value: Value, sample: Int, _ pass: Pass
  ) {
    guard let gradient = pass.gradient(value) else { return }
    let adds = pass.addsGradient(value)
    let dimension = interaction.dimension
    for vector in 0..<vectors {
      let from = source + vector * interaction.vectorStride
      let to = gradient + sample * value.width + vector * dimension
      forEachVector(dimension) { column, lanes in
        let part = load(from + column)
        store(adds ? load(to + column, lanes) + part : part, to + column, lanes)
      }
    }
  }

  func score(_ pass: ScorePass) {
    let size = SampleGroup.size
    let all = pass.value(padded)
    var place = all
    if let first {
      place.update(from: pass.value(first), count: first.width * size)
      place += first.width * size
    }
    place.update(from: pass.value(vectors), count: vectors.width * size)
    interaction.forwardGroup(all, output: pass.value(output))
  }
}
