extension NetworkBuilder {
  /// One cross layer of DCN-V2: x0 ⊙ (W x + b) + x, or with a rank x0 ⊙ (U Vᵀ x + b) + x (Wang et al., WWW 2021, arXiv
  /// 2008.13535, equations 1 and 2, the latter without experts).
  /// - Parameter rank: columns of U and V; nil for a full matrix.
  package func crossMatrix(_ x: Value, from x0: Value, rank: Int?) -> Value {
    precondition(x.width == x0.width)
    let inner = rank.map { linear(x, outputs: $0, bias: .none) } ?? x
    let factor = linear(inner, outputs: x.width)
    return add(
      CrossCombination(
        x0: x0, factor: factor, x: x, output: makeValue(width: x.width, needsGradient: true)))
  }
}

/// x0 ⊙ factor + x.
struct CrossCombination: Layer {
  let x0: Value
  let factor: Value
  let x: Value
  let output: Value

  var name: String { "cross layer" }
  var inputs: [Value] { [x0, factor, x] }

  func forward(_ pass: Pass) {
    combine(
      pass.value(x0), pass.value(factor), pass.value(x), pass.value(output), pass.samples * output.width)
  }

  func score(_ pass: ScorePass) {
    combine(
      pass.value(x0), pass.value(factor), pass.value(x), pass.value(output), SampleGroup.size * output.width)
  }

  private func combine(
    _ x0: UnsafePointer<Float>, _ factor: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
    _ output: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    forEachWhole(count) { index in
      var sum = load(x + index)
      sum.addProduct(load(x0 + index), load(factor + index))
      store(sum, output + index)
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let count = pass.samples * output.width
    multiply(pass.value(x0), gradient, to: factor, adds: pass.addsGradient(factor), pass)
    multiply(pass.value(factor), gradient, to: x0, adds: pass.addsGradient(x0), pass)
    // The first layer has x0 twice: the second gradient is then added to the first.
    guard let target = pass.gradient(x) else { return }
    let adds = x == x0 || pass.addsGradient(x)
    forEachWhole(count) { index in
      let part = load(gradient + index)
      store(adds ? load(target + index) + part : part, target + index)
    }
  }

  private func multiply(
    _ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>, to value: Value, adds: Bool, _ pass: Pass
  ) {
    guard let target = pass.gradient(value) else { return }
    forEachWhole(pass.samples * value.width) { index in
      let part = load(left + index) * load(right + index)
      store(adds ? load(target + index) + part : part, target + index)
    }
  }
}
