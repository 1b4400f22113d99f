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

/// The gradient of ReLU: sets `gradient` to zero where the activation is not positive.
func maskByActivation(
  _ gradient: UnsafeMutablePointer<Float>, _ gradientStride: Int, _ activation: UnsafePointer<Float>,
  _ activationStride: Int, samples: Int, columns: Int
) {
  let whole = columns & ~7
  let zero = Vector(repeating: 0)
  for sample in 0..<samples {
    let target = gradient + sample * gradientStride
    let source = activation + sample * activationStride
    var column = 0
    while column < whole {
      store(
        load(target + column).replacing(with: zero, where: load(source + column) .<= zero), target + column)
      column += 8
    }
    while column < columns {
      if source[column] <= 0 { target[column] = 0 }
      column += 1
    }
  }
}

/// sums[column] (+)= the sum of a column over the samples: the gradient of a bias.
func sumColumns(
  _ values: UnsafePointer<Float>, _ stride: Int, into sums: UnsafeMutablePointer<Float>, accumulate: Bool,
  samples: Int, columns: Int
) {
  if !accumulate { sums.update(repeating: 0, count: columns) }
  var column = 0
  // Four vectors wide: a whole pair of cache lines of each row at a time, sums in registers.
  while column + 32 <= columns {
    var sum0 = load(sums + column)
    var sum1 = load(sums + column + 8)
    var sum2 = load(sums + column + 16)
    var sum3 = load(sums + column + 24)
    for sample in 0..<samples {
      let row = values + sample * stride + column
      sum0 += load(row)
      sum1 += load(row + 8)
      sum2 += load(row + 16)
      sum3 += load(row + 24)
    }
    store(sum0, sums + column)
    store(sum1, sums + column + 8)
    store(sum2, sums + column + 16)
    store(sum3, sums + column + 24)
    column += 32
  }
  while column + 8 <= columns {
    var sum = load(sums + column)
    for sample in 0..<samples { sum += load(values + sample * stride + column) }
    store(sum, sums + column)
    column += 8
  }
  while column < columns {
    var sum = sums[column]
    for sample in 0..<samples { sum += values[sample * stride + column] }
    sums[column] = sum
    column += 1
  }
}
