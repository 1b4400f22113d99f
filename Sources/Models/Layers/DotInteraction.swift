/// The pairwise dot products of DLRM (Naumov et al. 2019, arXiv 1906.00091, section 2.1.3), as `interact_features` with
/// "dot" and without self-interaction in facebookresearch/dlrm.
///
/// Per sample, V vectors of `dimension` floats give `[v1·v0, v2·v0, v2·v1, v3·v0, …]`, the lower triangle row by row. Where
/// vector 0 is the output of the bottom MLP, it comes before them once more.
///
/// Vectors are stored padded with zeros to `vectorStride`, a multiple of 8 floats, so that no kernel has a tail. A sum runs
/// over the dimension (forward) or the vectors (backward) in order, with fused multiply-add. The usual dimensions have
/// kernels in which they are constants.
package struct DotInteraction: Sendable {
  package let vectors: Int
  package let dimension: Int
  /// Whether vector 0 is a part of the output.
  package let keepsFirst: Bool
  /// Floats from one vector of a sample to the next.
  package let vectorStride: Int
  /// Floats of a sample's vectors.
  package let sampleStride: Int
  /// Floats of an output row: V (V - 1) / 2, and `dimension` more if vector 0 is kept.
  package let width: Int

  package init(vectors: Int, dimension: Int, keepsFirst: Bool = true) {
    self.vectors = vectors
    self.dimension = dimension
    self.keepsFirst = keepsFirst
    vectorStride = paddedToVector(dimension)
    sampleStride = vectors * vectorStride
    width = (keepsFirst ? dimension : 0) + vectors * (vectors - 1) / 2
  }

  /// Floats of scratch that `forward` takes.
  package var scratchFloats: Int { vectorStride * paddedToVector(vectors) }

  /// The products of one sample.
  /// - Parameters:
  ///   - input: `[V × vectorStride]`, zero beyond `dimension`.
  ///   - output: `[width]`, and eight floats more: it is stored eight floats at a time, and what lies behind it is
  ///     overwritten with anything.
  package func forward(
    _ input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    switch dimension {
    case 8: multiply(input, output, scratch, dimension: 8)
    case 16: multiply(input, output, scratch, dimension: 16)
    case 32: multiply(input, output, scratch, dimension: 32)
    case 48: multiply(input, output, scratch, dimension: 48)
    case 64: multiply(input, output, scratch, dimension: 64)
    case 128: multiply(input, output, scratch, dimension: 128)
    default: multiply(input, output, scratch, dimension: dimension)
    }
  }

  /// The gradient of one sample's vectors.
  /// - Parameters:
  ///   - input: what `forward` read of the sample.
  ///   - outputGradient: `[width]`.
  ///   - gradient: `[V × vectorStride]`, zero beyond `dimension`.
  package func backward(
    _ input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
    gradient: UnsafeMutablePointer<Float>
  ) {
    switch dimension {
    case 8: differentiate(input, outputGradient, gradient, dimension: 8)
    case 16: differentiate(input, outputGradient, gradient, dimension: 16)
    case 32: differentiate(input, outputGradient, gradient, dimension: 32)
    case 48: differentiate(input, outputGradient, gradient, dimension: 48)
    case 64: differentiate(input, outputGradient, gradient, dimension: 64)
    case 128: differentiate(input, outputGradient, gradient, dimension: 128)
    default: differentiate(input, outputGradient, gradient, dimension: dimension)
    }
  }

  @inline(__always)
  private func multiply(
    _ source: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>,
    _ transposed: UnsafeMutablePointer<Float>, dimension: Int
  ) {
    let last = vectors - 1
    let vectorStride = paddedToVector(dimension)
    let transposedStride = paddedToVector(vectors)
    // Transposed, eight dot products run along the lanes and none needs a sum across them.
    for first in stride(from: 0, to: vectors, by: 8) {
      for column in stride(from: 0, to: dimension, by: 8) {
        // Places past the last vector hold the last one again.
        transpose(
          { source + min(first + $0, last) * vectorStride + column },
          { transposed + (column + $0) * transposedStride + first })
      }
    }
    if keepsFirst {
      for column in stride(from: 0, to: dimension, by: 8) { store(load(source + column), target + column) }
    }
    let triangle = target + (keepsFirst ? dimension : 0)
    for first in stride(from: 0, to: vectors, by: 4) {
      let row0 = source + first * vectorStride
      let row1 = source + min(first + 1, last) * vectorStride
      let row2 = source + min(first + 2, last) * vectorStride
      let row3 = source + min(first + 3, last) * vectorStride
      // Row i needs the products with vectors below i; the group's highest row decides. What a store leaves behind the end
      // of its row is the start of rows whose own stores come later: the highest vectors go first.
      var other = (min(first + 3, last) - 1) & ~7
      while other >= 0 {
        var sum0 = Vector(repeating: 0)
        var sum1 = sum0
        var sum2 = sum0
        var sum3 = sum0
        for column in 0..<dimension {
          let values = load(transposed + column * transposedStride + other)
          sum0.addProduct(Vector(repeating: row0[column]), values)
          sum1.addProduct(Vector(repeating: row1[column]), values)
          sum2.addProduct(Vector(repeating: row2[column]), values)
          sum3.addProduct(Vector(repeating: row3[column]), values)
        }
        if other < first { store(sum0, triangle + start(first) + other) }
        if other < first + 1, first + 1 <= last { store(sum1, triangle + start(first + 1) + other) }
        if other < first + 2, first + 2 <= last { store(sum2, triangle + start(first + 2) + other) }
        if other < first + 3, first + 3 <= last { store(sum3, triangle + start(first + 3) + other) }
        other -= 8
      }
    }
  }

  /// Where the products of a vector with those before it start in the triangle.
  @inline(__always)
  private func start(_ vector: Int) -> Int { vector * (vector - 1) / 2 }

  /// The gradient of vector i is the sum over all others j of their product's gradient times vector j: below i the factors
  /// lie in row i of the triangle, beyond it in column i.
  @inline(__always)
  private func differentiate(
    _ source: UnsafePointer<Float>, _ outputGradient: UnsafePointer<Float>,
    _ target: UnsafeMutablePointer<Float>, dimension: Int
  ) {
    let vectors = vectors
    let last = vectors - 1
    let vectorStride = paddedToVector(dimension)
    let triangle = outputGradient + (keepsFirst ? dimension : 0)
    for first in stride(from: 0, to: vectors, by: 4) {
      // A group's rows past the last vector compute the last vector again.
      let (second, third, fourth) = (min(first + 1, last), min(first + 2, last), min(first + 3, last))
      var column = 0
      while column < vectorStride {
        let isPair = column + 8 < vectorStride
        var (low0, low1, low2, low3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
        var (high0, high1, high2, high3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
        @inline(__always)
        func add(_ other: Int, _ factor0: Float, _ factor1: Float, _ factor2: Float, _ factor3: Float) {
          let values = source + other * vectorStride + column
          let low = load(values)
          low0.addProduct(Vector(repeating: factor0), low)
          low1.addProduct(Vector(repeating: factor1), low)
          low2.addProduct(Vector(repeating: factor2), low)
          low3.addProduct(Vector(repeating: factor3), low)
          if isPair {
            let high = load(values + 8)
            high0.addProduct(Vector(repeating: factor0), high)
            high1.addProduct(Vector(repeating: factor1), high)
            high2.addProduct(Vector(repeating: factor2), high)
            high3.addProduct(Vector(repeating: factor3), high)
          }
        }
        let (factors0, factors1) = (triangle + start(first), triangle + start(second))
        let (factors2, factors3) = (triangle + start(third), triangle + start(fourth))
        for other in 0..<first {
          add(other, factors0[other], factors1[other], factors2[other], factors3[other])
        }
        for other in first...fourth {
          func factor(_ vector: Int) -> Float {
            vector == other ? 0 : triangle[start(max(vector, other)) + min(vector, other)]
          }
          add(other, factor(first), factor(second), factor(third), factor(fourth))
        }
        var factors = triangle + start(fourth + 1) + first
        for other in fourth + 1..<max(fourth + 1, vectors) {
          add(other, factors[0], factors[1], factors[2], factors[3])
          factors += other
        }
        if keepsFirst, first == 0 {
          low0 += load(outputGradient + column, min(8, dimension - column))
          if isPair { high0 += load(outputGradient + column + 8, min(8, dimension - column - 8)) }
        }
        let place = target + column
        store(low0, place + first * vectorStride)
        store(low1, place + second * vectorStride)
        store(low2, place + third * vectorStride)
        store(low3, place + fourth * vectorStride)
        if isPair {
          store(high0, place + first * vectorStride + 8)
          store(high1, place + second * vectorStride + 8)
          store(high2, place + third * vectorStride + 8)
          store(high3, place + fourth * vectorStride + 8)
        }
        column += isPair ? 16 : 8
      }
    }
  }
}
