// The passes of a linear layer around its matrix products. Matrices are `[samples × columns]` with a stride in floats.
// Each sum runs over the samples in their order, so a result depends on nothing else.

/// x = x + b, and then max(x, 0) if `rectified`, in one pass. A NaN stays one: it must reach the loss to be seen.
func addBias(
  _ bias: UnsafePointer<Float>, rectified: Bool, to values: UnsafeMutablePointer<Float>, _ stride: Int,
  samples: Int, columns: Int
) {
  let whole = columns & ~7
  let zero = Vector(repeating: 0)
  for sample in 0..<samples {
    let row = values + sample * stride
    var column = 0
    if rectified {
      while column < whole {
        let sum = load(row + column) + load(bias + column)
        store(sum.replacing(with: zero, where: sum .< zero), row + column)
        column += 8
      }
      while column < columns {
        let sum = row[column] + bias[column]
        row[column] = sum < 0 ? 0 : sum
        column += 1
      }
    } else {
      while column < whole {
        store(load(row + column) + load(bias + column), row + column)
        column += 8
      }
      while column < columns {
        row[column] += bias[column]
        column += 1
      }
    }
  }
}

/// The backward pass through ReLU and bias at once. Sets `gradient` to zero where the activation is not positive, and adds:
/// sums[column] (+)= the sum of a column over the samples.
func maskAndSumColumns(
  _ gradient: UnsafeMutablePointer<Float>, _ gradientStride: Int, _ activation: UnsafePointer<Float>,
  _ activationStride: Int, into sums: UnsafeMutablePointer<Float>, accumulate: Bool, samples: Int,
  columns: Int
) {
  let zero = Vector.zero
  sumColumns(into: sums, accumulate: accumulate, samples: samples, columns: columns) {
    sample, column, lanes in
    let place = gradient + sample * gradientStride + column
    let isCut = load(activation + sample * activationStride + column, lanes) .<= zero
    let masked = load(place, lanes).replacing(with: zero, where: isCut)
    store(masked, place, lanes)
    return masked
  }
}

/// sums[column] (+)= the sum of a column over the samples: the gradient of a bias.
func sumColumns(
  _ values: UnsafePointer<Float>, _ stride: Int, into sums: UnsafeMutablePointer<Float>, accumulate: Bool,
  samples: Int, columns: Int
) {
  sumColumns(into: sums, accumulate: accumulate, samples: samples, columns: columns) {
    sample, column, lanes in
    load(values + sample * stride + column, lanes)
  }
}

@inline(__always)
private func sumColumns(
  into sums: UnsafeMutablePointer<Float>, accumulate: Bool, samples: Int, columns: Int,
  _ value: (_ sample: Int, _ column: Int, _ lanes: Int) -> Vector
) {
  if !accumulate { sums.update(repeating: 0, count: columns) }
  var column = 0
  // Four vectors wide: a whole pair of cache lines of each row at a time, sums in registers.
  while column + 32 <= columns {
    var (sum0, sum1) = (load(sums + column), load(sums + column + 8))
    var (sum2, sum3) = (load(sums + column + 16), load(sums + column + 24))
    for sample in 0..<samples {
      sum0 += value(sample, column, 8)
      sum1 += value(sample, column + 8, 8)
      sum2 += value(sample, column + 16, 8)
      sum3 += value(sample, column + 24, 8)
    }
    store(sum0, sums + column)
    store(sum1, sums + column + 8)
    store(sum2, sums + column + 16)
    store(sum3, sums + column + 24)
    column += 32
  }
  let rest = column
  forEachVector(columns - rest) { offset, lanes in
    var sum = load(sums + rest + offset, lanes)
    for sample in 0..<samples { sum += value(sample, rest + offset, lanes) }
    store(sum, sums + rest + offset, lanes)
  }
}
