import Primitives

extension NetworkBuilder {
  /// One cross layer of DCN: x0 (x · w) + b + x.
  package func crossVector(_ x: Value, from x0: Value) -> Value {
    precondition(x.width == x0.width)
    return add(
      CrossVector(
        firstParameter: takeParameters(2 * x.width), x0: x0, x: x,
        output: makeValue(width: x.width, needsGradient: true),
        products: makeValue(width: 1, needsGradient: false)))
  }
}

/// A cross layer with a weight vector: Wang et al. 2017, arXiv 1708.05123, equation 3. Parameters are w, drawn from
/// N(0, sqrt(2 / (width + 1))), given as standard deviation, then b, which starts at zero.
struct CrossVector: Layer {
  let firstParameter: Int
  let x0: Value
  let x: Value
  let output: Value
  /// Per sample x · w.
  let products: Value

  var name: String { "cross layer" }
  var inputs: [Value] { [x0, x] }
  var kept: [Value] { [products] }
  private var width: Int { x.width }
  var parameterRange: Range<Int> { firstParameter..<firstParameter + 2 * width }

  var tensors: [LayerTensor] {
    [
      LayerTensor("weight", [width], at: firstParameter),
      LayerTensor("bias", [width], at: firstParameter + width),
    ]
  }

  func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    let deviation = (2 / Double(width + 1)).squareRoot()
    for index in 0..<width {
      parameters[firstParameter + index] = Float(random.normal(UInt64(index)) * deviation)
    }
    (parameters + firstParameter + width).update(repeating: 0, count: width)
  }

  func forward(_ pass: Pass) {
    let weights = pass.parameters + firstParameter
    let bias = weights + width
    let products = pass.value(products)
    dotRows(pass.value(x), width, weights, width, into: products, 1, samples: pass.samples)
    for sample in 0..<pass.samples {
      let base = pass.value(x0) + sample * width
      let from = pass.value(x) + sample * width
      let to = pass.value(output) + sample * width
      let product = Vector(repeating: products[sample])
      forEachVector(width) { column, lanes in
        var sum = load(bias + column, lanes) + load(from + column, lanes)
        sum.addProduct(load(base + column, lanes), product)
        store(sum, to + column, lanes)
      }
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let weights = pass.parameters + firstParameter
    let weightGradient = pass.gradients + firstParameter
    let biasGradient = weightGradient + width
    if !pass.accumulate { weightGradient.update(repeating: 0, count: 2 * width) }
    let products = pass.value(products)
    for sample in 0..<pass.samples {
      let first = sample * width
      let own = gradient + first
      let base = pass.value(x0) + first
      let from = pass.value(x) + first
      var product: Float = 0
      dotRows(own, width, base, width, into: &product, 1, samples: 1)
      let slope = Vector(repeating: product)
      forEachVector(width) { column, lanes in
        let part = load(own + column, lanes)
        store(load(biasGradient + column, lanes) + part, biasGradient + column, lanes)
        var sum = load(weightGradient + column, lanes)
        sum.addProduct(slope, load(from + column, lanes))
        store(sum, weightGradient + column, lanes)
      }
      // The first layer has x0 twice: the second gradient is then added to the first.
      if let target = pass.gradient(x0) {
        let adds = pass.addsGradient(x0)
        forEachVector(width) { column, lanes in
          let part = load(own + column, lanes) * products[sample]
          let place = target + first + column
          store(adds ? load(place, lanes) + part : part, place, lanes)
        }
      }
      if let target = pass.gradient(x) {
        let adds = x == x0 || pass.addsGradient(x)
        forEachVector(width) { column, lanes in
          var part = load(own + column, lanes)
          part.addProduct(slope, load(weights + column, lanes))
          let place = target + first + column
          store(adds ? load(place, lanes) + part : part, place, lanes)
        }
      }
    }
  }

  func score(_ pass: ScorePass) {
    let size = SampleGroup.size
    let weights = pass.parameters + firstParameter
    let bias = weights + width
    for half in stride(from: 0, to: size, by: 8) {
      let base = pass.value(x0) + half
      let from = pass.value(x) + half
      let to = pass.value(output) + half
      var product = Vector(repeating: 0)
      for column in 0..<width {
        product.addProduct(Vector(repeating: weights[column]), load(from + column * size))
      }
      for column in 0..<width {
        var sum = load(from + column * size) + bias[column]
        sum.addProduct(load(base + column * size), product)
        store(sum, to + column * size)
      }
    }
  }
}
