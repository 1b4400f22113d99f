/// What stands behind a linear layer. The names are those of a configuration.
public enum Activation: String, Codable, CaseIterable, Sendable {
  /// max(x, 0)
  case relu
  /// 1 / (1 + e⁻ˣ)
  case sigmoid
  /// The hyperbolic tangent.
  case tanh
  /// x, or x / 100 below zero: torch.nn.LeakyReLU with its default slope.
  case leakyReLU = "leaky_relu"
  /// x / 2 · (1 + tanh(sqrt(2 / π) (x + 0.044715 x³))): Hendrycks and Gimpel, arXiv 1606.08415, section 2, as torch.nn.GELU
  /// with approximate="tanh" has it, and not by the error function.
  case gelu

  @inline(__always)
  fileprivate func value(_ x: Vector) -> Vector {
    switch self {
    case .relu: x.replacing(with: 0, where: x .< 0)
    case .sigmoid: Models.sigmoid(x)
    case .tanh: hyperbolicTangent(x)
    case .leakyReLU: x.replacing(with: x * 0.01, where: x .< 0)
    case .gelu: 0.5 * x * (1 + hyperbolicTangent(geluArgument(x)))
    }
  }

  @inline(__always)
  fileprivate func derivative(_ x: Vector, _ y: Vector) -> Vector {
    let zero = Vector(repeating: 0)
    let one = Vector(repeating: 1)
    switch self {
    case .relu: return one.replacing(with: zero, where: x .<= 0)
    case .sigmoid: return y * (1 - y)
    case .tanh: return 1 - y * y
    case .leakyReLU: return one.replacing(with: Vector(repeating: 0.01), where: x .<= 0)
    case .gelu:
      let bend = hyperbolicTangent(geluArgument(x))
      let slope = (1 + 3 * 0.044_715 * x * x) * 0.797_884_56
      return 0.5 * (1 + bend) + 0.5 * x * (1 - bend * bend) * slope
    }
  }
}

/// sqrt(2 / π) (x + 0.044715 x³)
@inline(__always)
private func geluArgument(_ x: Vector) -> Vector { 0.797_884_56 * (x + 0.044_715 * x * x * x) }

extension NetworkBuilder {
  package func activation(_ input: Value, _ function: Activation) -> Value {
    add(
      ActivationLayer(
        function: function, input: input,
        output: makeValue(width: input.width, needsGradient: input.needsGradient)))
  }
}

/// An activation function of each number.
struct ActivationLayer: Layer {
  let function: Activation
  let input: Value
  let output: Value

  var name: String { function.rawValue }
  var inputs: [Value] { [input] }

  // The function is known to each loop when it is compiled.

  func forward(_ pass: Pass) { apply(pass.value(input), pass.value(output), pass.samples * input.width) }

  func score(_ pass: ScorePass) {
    apply(pass.value(input), pass.value(output), SampleGroup.size * input.width)
  }

  private func apply(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int) {
    switch function {
    case .relu: forEachWhole(count) { store(Activation.relu.value(load(x + $0)), y + $0) }
    case .sigmoid: forEachWhole(count) { store(Activation.sigmoid.value(load(x + $0)), y + $0) }
    case .tanh: forEachWhole(count) { store(Activation.tanh.value(load(x + $0)), y + $0) }
    case .leakyReLU: forEachWhole(count) { store(Activation.leakyReLU.value(load(x + $0)), y + $0) }
    case .gelu: forEachWhole(count) { store(Activation.gelu.value(load(x + $0)), y + $0) }
    }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output), let target = pass.gradient(input) else { return }
    let adds = pass.addsGradient(input)
    let x = pass.value(input)
    let y = pass.value(output)
    @inline(__always)
    func run(_ function: Activation) {
      forEachWhole(pass.samples * input.width) { index in
        let part = load(gradient + index) * function.derivative(load(x + index), load(y + index))
        store(adds ? load(target + index) + part : part, target + index)
      }
    }
    switch function {
    case .relu: run(.relu)
    case .sigmoid: run(.sigmoid)
    case .tanh: run(.tanh)
    case .leakyReLU: run(.leakyReLU)
    case .gelu: run(.gelu)
    }
  }
}
