import Primitives

extension NetworkBuilder {
  /// Dropout; nothing at all where the rate is 0.
  package func dropout(_ input: Value, rate: Float) -> Value {
    if rate == 0 { return input }
    return add(
      Dropout(
        rate: rate, random: CounterRandom(CounterRandom(seed: seed, stream: 3), UInt64(nextLayer)),
        input: input, output: makeValue(width: input.width, needsGradient: input.needsGradient)))
  }
}

/// In training sets each number to zero with probability `rate` and multiplies the others by 1 / (1 - rate); in prediction
/// does nothing. Srivastava et al., JMLR 15 (2014), scaled in training instead of prediction, as torch.nn.Dropout.
///
/// What is dropped follows from the seed, the layer, the batch's number and the places of sample and unit alone. The rate is
/// rounded to a 65,536th, because one draw of 64 bits serves four units; the backward pass draws again instead of
/// keeping the mask.
struct Dropout: Layer {
  let input: Value
  let output: Value
  private let random: CounterRandom
  private let threshold: UInt16
  private let scale: Float
  private let rate: Float

  init(rate: Float, random: CounterRandom, input: Value, output: Value) {
    self.rate = rate
    self.random = random
    self.input = input
    self.output = output
    let rounded = max(1, min(65_535, (Double(rate) * 65_536).rounded()))
    threshold = UInt16(rounded)
    scale = Float(65_536 / (65_536 - rounded))
  }

  var name: String { "dropout of \(rate)" }
  var inputs: [Value] { [input] }

  func forward(_ pass: Pass) { mask(pass, pass.value(input), pass.value(output), adds: false) }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output), let target = pass.gradient(input) else { return }
    mask(pass, gradient, target, adds: pass.addsGradient(input))
  }

  private func mask(
    _ pass: Pass, _ source: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>, adds: Bool
  ) {
    let batch = CounterRandom(random, UInt64(pass.step))
    let width = input.width
    let threshold = SIMD8<UInt32>(repeating: UInt32(threshold))
    let scale = Vector(repeating: scale)
    let zero = Vector(repeating: 0)
    for sample in 0..<pass.samples {
      let bits = CounterRandom(batch, UInt64(pass.first + sample))
      let from = source + sample * width
      let to = target + sample * width
      forEachVector(width) { column, lanes in
        let draws = SIMD2<UInt64>(bits.bits(UInt64(column >> 2)), bits.bits(UInt64((column >> 2) + 1)))
        let numbers = SIMD8<UInt32>(truncatingIfNeeded: unsafeBitCast(draws, to: SIMD8<UInt16>.self))
        let part = (load(from + column, lanes) * scale).replacing(with: zero, where: numbers .< threshold)
        store(adds ? load(to + column, lanes) + part : part, to + column, lanes)
      }
    }
  }

  func score(_ pass: ScorePass) {
    pass.value(output).update(from: pass.value(input), count: input.width * SampleGroup.size)
  }
}
