// A linear layer with one output is a matrix-vector product, at which OpenBLAS reaches a tenth of its speed.

/// output[sample] = values[sample] · weights. Four accumulators, then the tail; a sample's result depends on its own row
/// only.
func dotRows(
  _ values: UnsafePointer<Float>, _ stride: Int, _ weights: UnsafePointer<Float>, _ columns: Int,
  into output: UnsafeMutablePointer<Float>, _ outputStride: Int, samples: Int
) {
  for sample in 0..<samples {
    let row = values + sample * stride
    var sum0 = Vector(repeating: 0)
    var sum1 = sum0
    var sum2 = sum0
    var sum3 = sum0
    var column = 0
    while column + 32 <= columns {
      sum0.addProduct(load(row + column), load(weights + column))
      sum1.addProduct(load(row + column + 8), load(weights + column + 8))
      sum2.addProduct(load(row + column + 16), load(weights + column + 16))
      sum3.addProduct(load(row + column + 24), load(weights + column + 24))
      column += 32
    }
    while column + 8 <= columns {
      sum0.addProduct(load(row + column), load(weights + column))
      column += 8
    }
    var total = laneSum((sum0 + sum1) + (sum2 + sum3))
    while column < columns {
      total += row[column] * weights[column]
      column += 1
    }
    output[sample * outputStride] = total
  }
}

/// sums[column] (+)= Σ over samples of scale[sample] · values[sample][column], in sample order: the gradient of the weights.
func weightRows(
  _ values: UnsafePointer<Float>, _ stride: Int, _ scale: UnsafePointer<Float>, _ scaleStride: Int,
  into sums: UnsafeMutablePointer<Float>, accumulate: Bool, samples: Int, columns: Int
) {
  if !accumulate { sums.update(repeating: 0, count: columns) }
  let whole = columns & ~7
  for sample in 0..<samples {
    let row = values + sample * stride
    let factor = scale[sample * scaleStride]
    var column = 0
    while column < whole {
      var sum = load(sums + column)
      sum.addProduct(Vector(repeating: factor), load(row + column))
      store(sum, sums + column)
      column += 8
    }
    while column < columns {
      sums[column] += factor * row[column]
      column += 1
    }
  }
}

/// output[sample][column] (+)= scale[sample] · weights[column]: the gradient of the input.
func outerProduct(
  _ scale: UnsafePointer<Float>, _ scaleStride: Int, _ weights: UnsafePointer<Float>, _ columns: Int,
  into output: UnsafeMutablePointer<Float>, _ outputStride: Int, accumulate: Bool, samples: Int
) {
  for sample in 0..<samples {
    let row = output + sample * outputStride
    let factor = scale[sample * scaleStride]
    if accumulate {
      forEachVector(columns) { column, lanes in
        store(load(row + column, lanes) + load(weights + column, lanes) * factor, row + column, lanes)
      }
    } else {
      forEachVector(columns) { column, lanes in
        store(load(weights + column, lanes) * factor, row + column, lanes)
      }
    }
  }
}
