import Primitives

extension NetworkBuilder {
  package func batchNorm(_ input: Value) -> Value {
    add(
      BatchNorm(
        firstParameter: takeParameters(2 * input.width), firstAverage: takeAverages(2 * input.width),
        firstStatistic: takeStatistics(
          BatchNorm.statistics(width: input.width)), input: input,
        output: makeValue(width: input.width, needsGradient: true)))
  }
}

/// y = γ (x - mean) / sqrt(variance + 1e-5) + β over all samples of a batch: Ioffe and Szegedy 2015, arXiv 1502.03167, as
/// torch.nn.BatchNorm1d. γ starts at one and β at zero; they are the layer's parameters, in this order.
///
/// Prediction uses running averages instead, average = 0.9 average + 0.1 batch, of the mean and of the variance with n - 1
/// in its denominator; they are part of the model. A batch of one sample, which PyTorch refuses, counts as variance 0.
///
/// A lane joins its chunks' means and squared deviations in their order (Chan, Golub and LeVeque 1979), then the lanes are
/// joined in theirs.
struct BatchNorm: BatchWideLayer {
  let firstParameter: Int
  let firstAverage: Int
  let firstStatistic: Int
  let input: Value
  let output: Value

  private static let epsilon = 1e-5
  private static let momentum: Float = 0.1

  // Statistics: per lane the number of samples, their mean and their squared deviations; then of the batch the mean, the
  // inverse deviation, and the means of the gradient and of the gradient times the normalised input.
  private static func laneStatistics(width: Int) -> Int { 1 + 2 * width }
  static func statistics(width: Int) -> Int {
    DenseModel.laneCount * laneStatistics(width: width) + 4 * width
  }

  private func lane(_ statistics: UnsafeMutablePointer<Double>, _ lane: Int) -> UnsafeMutablePointer<Double> {
    statistics + firstStatistic + lane * Self.laneStatistics(width: input.width)
  }

  private func ofBatch(_ statistics: UnsafeMutablePointer<Double>) -> UnsafeMutablePointer<Double> {
    lane(statistics, DenseModel.laneCount)
  }

  var name: String { "batch normalisation" }
  var inputs: [Value] { [input] }
  var parameterRange: Range<Int> { firstParameter..<firstParameter + 2 * input.width }
  var averageRange: Range<Int> { firstAverage..<firstAverage + 2 * input.width }

  var tensors: [LayerTensor] {
    [
      LayerTensor("weight", [input.width], at: firstParameter),
      LayerTensor("bias", [input.width], at: firstParameter + input.width),
      LayerTensor("running_mean", [input.width], .averages(firstAverage)),
      LayerTensor("running_var", [input.width], .averages(firstAverage + input.width)),
    ]
  }

  func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {
    (parameters + firstParameter).update(repeating: 1, count: input.width)
    (parameters + firstParameter + input.width).update(repeating: 0, count: input.width)
  }

  func initializeAverages(_ averages: UnsafeMutablePointer<Float>) {
    (averages + firstAverage).update(repeating: 0, count: input.width)
    (averages + firstAverage + input.width).update(repeating: 1, count: input.width)
  }

  func measure(_ pass: Pass) {
    let width = input.width
    let x = pass.value(input)
    let samples = pass.samples
    let record = lane(pass.statistics, pass.lane)
    let before = pass.accumulate ? record[0] : 0
    let means = record + 1
    let squares = means + width
    let count = Double(samples)
    record[0] = before + count
    forEachVector(width) { column, lanes in
      var sum = Vector(repeating: 0)
      for sample in 0..<samples { sum += load(x + sample * width + column, lanes) }
      let mean = sum / Float(samples)
      var square = Vector(repeating: 0)
      for sample in 0..<samples {
        let part = load(x + sample * width + column, lanes) - mean
        square += part * part
      }
      for place in 0..<lanes {
        join(
          &means[column + place], &squares[column + place], before, Double(mean[place]),
          Double(square[place]), count)
      }
    }
  }

  func conclude(_ pass: BatchPass) {
    let width = input.width
    let result = ofBatch(pass.statistics)
    let averages = pass.averages + firstAverage
    let count = Double(pass.sampleCount)
    for column in 0..<width {
      var (seen, mean, square) = (0.0, 0.0, 0.0)
      for lane in 0..<pass.lanes {
        let record = self.lane(pass.statistics, lane)
        join(&mean, &square, seen, record[1 + column], record[1 + width + column], record[0])
        seen += record[0]
      }
      result[column] = mean
      result[width + column] = 1 / (square / count + Self.epsilon).squareRoot()
      averages[column] += Self.momentum * (Float(mean) - averages[column])
      averages[width + column] +=
        Self.momentum * (Float(square / max(1, count - 1)) - averages[width + column])
    }
  }

  func forward(_ pass: Pass) {
    let width = input.width
    let x = pass.value(input)
    let y = pass.value(output)
    let gain = pass.parameters + firstParameter
    let shift = gain + width
    let batch = ofBatch(pass.statistics)
    forEachVector(width) { column, lanes in
      let mean = loadDoubles(batch + column, lanes)
      let inverse = loadDoubles(batch + width + column, lanes)
      let factor = load(gain + column, lanes)
      let offset = load(shift + column, lanes)
      for sample in 0..<pass.samples {
        let part = (load(x + sample * width + column, lanes) - mean) * inverse
        store(part * factor + offset, y + sample * width + column, lanes)
      }
    }
  }

  /// The gradients of γ and β, which are also what the gradient of the input needs of the whole batch.
  func measureGradients(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    let width = input.width
    let x = pass.value(input)
    let gainGradient = pass.gradients + firstParameter
    let shiftGradient = gainGradient + width
    let batch = ofBatch(pass.statistics)
    let adds = pass.accumulate
    forEachVector(width) { column, lanes in
      let mean = loadDoubles(batch + column, lanes)
      let inverse = loadDoubles(batch + width + column, lanes)
      var gains = adds ? load(gainGradient + column, lanes) : Vector(repeating: 0)
      var shifts = adds ? load(shiftGradient + column, lanes) : Vector(repeating: 0)
      for sample in 0..<pass.samples {
        let own = load(gradient + sample * width + column, lanes)
        gains += own * ((load(x + sample * width + column, lanes) - mean) * inverse)
        shifts += own
      }
      store(gains, gainGradient + column, lanes)
      store(shifts, shiftGradient + column, lanes)
    }
  }

  func concludeGradients(_ pass: BatchPass) {
    let width = input.width
    let result = ofBatch(pass.statistics) + 2 * width
    let count = Double(pass.sampleCount)
    for index in 0..<2 * width {
      var sum = 0.0
      for lane in 0..<pass.lanes {
        sum += Double(pass.laneGradients[lane * pass.parameterCount + firstParameter + index])
      }
      result[index] = sum / count
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output), let target = pass.gradient(input) else { return }
    let width = input.width
    let x = pass.value(input)
    let gain = pass.parameters + firstParameter
    let batch = ofBatch(pass.statistics)
    let adds = pass.addsGradient(input)
    forEachVector(width) { column, lanes in
      let mean = loadDoubles(batch + column, lanes)
      let inverse = loadDoubles(batch + width + column, lanes)
      let gainMean = loadDoubles(batch + 2 * width + column, lanes)
      let shiftMean = loadDoubles(batch + 3 * width + column, lanes)
      let factor = load(gain + column, lanes) * inverse
      for sample in 0..<pass.samples {
        let place = sample * width + column
        let normal = (load(x + place, lanes) - mean) * inverse
        let part = (load(gradient + place, lanes) - shiftMean - normal * gainMean) * factor
        store(adds ? load(target + place, lanes) + part : part, target + place, lanes)
      }
    }
  }

  func score(_ pass: ScorePass) {
    let width = input.width
    let size = SampleGroup.size
    let gain = pass.parameters + firstParameter
    let averages = pass.averages + firstAverage
    for column in 0..<width {
      let inverse = Float(1 / (Double(averages[width + column]) + Self.epsilon).squareRoot())
      let x = pass.value(input) + column * size
      let y = pass.value(output) + column * size
      for half in stride(from: 0, to: size, by: 8) {
        store((load(x + half) - averages[column]) * inverse * gain[column] + gain[width + column], y + half)
      }
    }
  }
}

/// Joins `count` values with their mean and squared deviations to those seen before.
private func join(
  _ mean: inout Double, _ square: inout Double, _ before: Double, _ otherMean: Double, _ otherSquare: Double,
  _ count: Double
) {
  if before == 0 {
    mean = otherMean
    square = otherSquare
    return
  }
  let distance = otherMean - mean
  let share = count / (before + count)
  mean += distance * share
  square += otherSquare + distance * distance * before * share
}

/// The first `lanes` doubles at `address`, rounded.
@inline(__always)
private func loadDoubles(_ address: UnsafePointer<Double>, _ lanes: Int) -> Vector {
  var vector = Vector(repeating: 0)
  for lane in 0..<lanes { vector[lane] = Float(address[lane]) }
  return vector
}
