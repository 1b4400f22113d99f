extension NetworkBuilder {
  /// Σ over all pairs of vectors of their dot product, `[1]`. All tables must have vectors of `dimension` floats.
  package func factorizationMachine(vectors: Value, dimension: Int) -> Value {
    add(
      FactorizationMachine(
        vectors: vectors, dimension: dimension, output: makeValue(width: 1, needsGradient: true),
        sums: makeValue(width: paddedToVector(dimension), needsGradient: false)))
  }
}

/// The second-order term of a factorization machine (Rendle, ICDM 2010), by its equation for linear time:
/// Σ over i < j of v_i · v_j = ½ Σ over columns of ((Σ v)² - Σ v²).
struct FactorizationMachine: Layer {
  let vectors: Value
  let dimension: Int
  let output: Value
  /// Per sample Σ v, padded to whole SIMD vectors.
  let sums: Value

  var name: String { "factorization machine" }
  var inputs: [Value] { [vectors] }
  var kept: [Value] { [sums] }

  func forward(_ pass: Pass) {
    let count = vectors.width / dimension
    let output = pass.value(output)
    for sample in 0..<pass.samples {
      let source = pass.value(vectors) + sample * vectors.width
      let sums = pass.value(sums) + sample * sums.width
      var total = Vector(repeating: 0)
      forEachVector(dimension) { column, lanes in
        var sum = Vector(repeating: 0)
        var squares = sum
        for vector in 0..<count {
          let part = load(source + vector * dimension + column, lanes)
          sum += part
          squares.addProduct(part, part)
        }
        store(sum, sums + column)
        total += sum * sum - squares
      }
      output[sample] = 0.5 * laneSum(total)
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output), let target = pass.gradient(vectors) else { return }
    let adds = pass.addsGradient(vectors)
    let count = vectors.width / dimension
    for sample in 0..<pass.samples {
      let first = sample * vectors.width
      let source = pass.value(vectors) + first
      let sums = pass.value(sums) + sample * sums.width
      let own = gradient[sample]
      forEachVector(dimension) { column, lanes in
        let sum = load(sums + column)
        for vector in 0..<count {
          let place = vector * dimension + column
          let part = (sum - load(source + place, lanes)) * own
          store(
            adds ? load(target + first + place, lanes) + part : part, target + first + place, lanes)
        }
      }
    }
  }

  func score(_ pass: ScorePass) {
    let size = SampleGroup.size
    let count = vectors.width / dimension
    for half in stride(from: 0, to: size, by: 8) {
      let source = pass.value(vectors) + half
      var total = Vector(repeating: 0)
      for column in 0..<dimension {
        var sum = Vector(repeating: 0)
        var squares = sum
        for vector in 0..<count {
          let part = load(source + (vector * dimension + column) * size)
          sum += part
          squares.addProduct(part, part)
        }
        total += sum * sum - squares
      }
      store(total * 0.5, pass.value(output) + half)
    }
  }
}
