/// The pairwise dot products of DLRM (Naumov et al. 2019, arXiv 1906.00091, section 2.1.3), as `interact_features` with
/// "dot" and without self-interaction in facebookresearch/dlrm.
///
/// Per sample, V vectors of `dimension` floats give `[v1·v0, v2·v0, v2·v1, v3·v0, …]`, the lower triangle row by row. Where
/// vector 0 is the output of the bottom MLP, it comes before them once more.
///
/// Vectors are stored padded with zeros to `vectorStride`, a multiple of 8 floats, so that no kernel has a tail. A sum runs
/// over the dimension (forward) or the vectors (backward) in order, with fused multiply-add.
package struct DotInteraction: Sendable {
  package let vectors: Int
  package let dimension: Int
  /// Whether vector 0 is a part of the output.
  package let keepsFirst: Bool
  /// Floats from one vector of a sample to the next.
  package let vectorStride: Int
  /// Floats from one sample's vectors to the next sample's.
  package let sampleStride: Int
  /// Floats of an output row: V (V - 1) / 2, and `dimension` more if vector 0 is kept.
  package let width: Int
  /// Row length of the V × V products in scratch.
  private let productStride: Int

  package init(vectors: Int, dimension: Int, keepsFirst: Bool = true) {
    self.vectors = vectors
    self.dimension = dimension
    self.keepsFirst = keepsFirst
    vectorStride = paddedToVector(dimension)
    sampleStride = vectors * vectorStride
    width = (keepsFirst ? dimension : 0) + vectors * (vectors - 1) / 2
    productStride = paddedToVector(vectors)
  }

  /// Floats of scratch that `forward` and `backward` take.
  package var scratchFloats: Int { (vectorStride + rowsOfProducts) * productStride }
  // Four rows of products are made at a time.
  private var rowsOfProducts: Int { (vectors + 3) & ~3 }

  /// - Parameters:
  ///   - input: `[samples × V × vectorStride]`, zero beyond `dimension`.
  ///   - output: `[samples × width]`, and eight floats more: rows of the triangle are stored eight floats at a time.
  package func forward(
    _ input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>,
    samples: Int
  ) {
    let vectors = vectors
    let dimension = dimension
    let vectorStride = vectorStride
    let productStride = productStride
    let transposed = scratch
    let products = scratch + vectorStride * productStride
    for sample in 0..<samples {
      let source = input + sample * sampleStride
      let target = output + sample * width
      // Transposed, eight dot products run along the lanes and none needs a sum across them.
      for vector in 0..<vectors {
        let row = source + vector * vectorStride
        for column in 0..<dimension { transposed[column * productStride + vector] = row[column] }
      }
      var first = 0
      while first < vectors {
        let last = vectors - 1
        let row0 = source + first * vectorStride
        let row1 = source + min(first + 1, last) * vectorStride
        let row2 = source + min(first + 2, last) * vectorStride
        let row3 = source + min(first + 3, last) * vectorStride
        let block = products + first * productStride
        var other = 0
        // Row i needs the products with vectors below i; the group's highest row decides.
        while other < min(first + 3, last) {
          var sum0 = Vector(repeating: 0)
          var sum1 = sum0
          var sum2 = sum0
          var sum3 = sum0
          for column in 0..<dimension {
            let values = load(transposed + column * productStride + other)
            sum0.addProduct(Vector(repeating: row0[column]), values)
            sum1.addProduct(Vector(repeating: row1[column]), values)
            sum2.addProduct(Vector(repeating: row2[column]), values)
            sum3.addProduct(Vector(repeating: row3[column]), values)
          }
          store(sum0, block + other)
          store(sum1, block + productStride + other)
          store(sum2, block + 2 * productStride + other)
          store(sum3, block + 3 * productStride + other)
          other += 8
        }
        first += 4
      }
      var place = target
      if keepsFirst {
        target.update(from: source, count: dimension)
        place += dimension
      }
      for vector in 1..<vectors {
        let row = products + vector * productStride
        var other = 0
        // What a store leaves behind the end of its row, the next row overwrites.
        while other < vector {
          store(load(row + other), place + other)
          other += 8
        }
        place += vector
      }
    }
  }

  /// The gradient of one sample's vectors.
  /// - Parameters:
  ///   - input: what `forward` read of the sample.
  ///   - outputGradient: `[width]`, and eight floats more that are read and ignored.
  ///   - gradient: `[V × vectorStride]`, zero beyond `dimension`.
  package func backward(
    _ input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
    gradient target: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) {
    let vectors = vectors
    let dimension = dimension
    let vectorStride = vectorStride
    let productStride = productStride
    let products = scratch + vectorStride * productStride
    let source = input
    // The triangle becomes a full symmetric matrix G with a zero diagonal; then the gradient of the vectors is G · vectors.
    products[0] = 0
    var place = outputGradient + (keepsFirst ? dimension : 0)
    for vector in 1..<vectors {
      let row = products + vector * productStride
      var other = 0
      while other < vector {
        store(load(place + other), row + other)
        other += 8
      }
      for other in 0..<vector { products[other * productStride + vector] = row[other] }
      row[vector] = 0
      place += vector
    }
    var first = 0
    while first < vectors {
      let last = vectors - 1
      let factor0 = products + first * productStride
      let factor1 = products + min(first + 1, last) * productStride
      let factor2 = products + min(first + 2, last) * productStride
      let factor3 = products + min(first + 3, last) * productStride
      // A group's rows past the last vector compute the last vector again.
      let place0 = target + first * vectorStride
      let place1 = target + min(first + 1, last) * vectorStride
      let place2 = target + min(first + 2, last) * vectorStride
      let place3 = target + min(first + 3, last) * vectorStride
      var column = 0
      while column < vectorStride {
        var sum0 = Vector(repeating: 0)
        var sum1 = sum0
        var sum2 = sum0
        var sum3 = sum0
        for other in 0..<vectors {
          let values = load(source + other * vectorStride + column)
          sum0.addProduct(Vector(repeating: factor0[other]), values)
          sum1.addProduct(Vector(repeating: factor1[other]), values)
          sum2.addProduct(Vector(repeating: factor2[other]), values)
          sum3.addProduct(Vector(repeating: factor3[other]), values)
        }
        store(sum0, place0 + column)
        store(sum1, place1 + column)
        store(sum2, place2 + column)
        store(sum3, place3 + column)
        column += 8
      }
      first += 4
    }
    if keepsFirst {
      for column in 0..<dimension { target[column] += outputGradient[column] }
    }
  }
}
