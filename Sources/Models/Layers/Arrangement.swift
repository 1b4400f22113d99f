import Primitives

extension NetworkBuilder {
  /// The values side by side, leaving out those that are not there; nil if none is.
  package func concatenate(_ values: [Value?]) -> Value? {
    let inputs = values.compactMap { $0 }
    if inputs.count < 2 { return inputs.first }
    requireDistinct(inputs)
    return add(
      Concatenation(
        inputs: inputs,
        output: makeValue(
          width: inputs.reduce(0) { $0 + $1.width }, needsGradient: inputs.contains { $0.needsGradient })))
  }

  /// The sum of values of one width, leaving out those that are not there; nil if none is.
  package func sum(_ values: [Value?]) -> Value? {
    let inputs = values.compactMap { $0 }
    if inputs.count < 2 { return inputs.first }
    precondition(inputs.allSatisfy { $0.width == inputs[0].width })
    requireDistinct(inputs)
    return add(
      Sum(
        inputs: inputs,
        output: makeValue(
          width: inputs[0].width, needsGradient: inputs.contains { $0.needsGradient })))
  }

  /// A layer writes the gradient of each input once, so one that stands there twice would lose half of its own.
  private func requireDistinct(_ inputs: [Value]) {
    precondition(Set(inputs.map(\.index)).count == inputs.count, "a value stands there twice")
  }
}

/// Matrices side by side. No value may stand in it twice.
struct Concatenation: Layer {
  let inputs: [Value]
  let output: Value
  var name: String { "concatenation" }

  func forward(_ pass: Pass) {
    var target = pass.value(output)
    for input in inputs {
      let source = pass.value(input)
      for sample in 0..<pass.samples {
        (target + sample * output.width).update(from: source + sample * input.width, count: input.width)
      }
      target += input.width
    }
  }

  func backward(_ pass: Pass) {
    guard var source = pass.gradient(output) else { return }
    for input in inputs {
      if let target = pass.gradient(input) {
        let adds = pass.addsGradient(input)
        for sample in 0..<pass.samples {
          let from = source + sample * output.width
          let to = target + sample * input.width
          forEachVector(input.width) { column, lanes in
            let part = load(from + column, lanes)
            store(adds ? load(to + column, lanes) + part : part, to + column, lanes)
          }
        }
      }
      source += input.width
    }
  }

  func score(_ pass: ScorePass) {
    var target = pass.value(output)
    for input in inputs {
      target.update(from: pass.value(input), count: input.width * SampleGroup.size)
      target += input.width * SampleGroup.size
    }
  }
}

/// Matrices of one width added up in order. No value may stand in it twice.
struct Sum: Layer {
  let inputs: [Value]
  let output: Value
  var name: String { "sum" }

  // Neither makes a list of addresses: a pass allocates nothing.

  func forward(_ pass: Pass) {
    let target = pass.value(output)
    let count = pass.samples * output.width
    target.update(from: pass.value(inputs[0]), count: count)
    for input in inputs.dropFirst() { add(pass.value(input), to: target, count) }
  }

  func score(_ pass: ScorePass) {
    let target = pass.value(output)
    let count = SampleGroup.size * output.width
    target.update(from: pass.value(inputs[0]), count: count)
    for input in inputs.dropFirst() { add(pass.value(input), to: target, count) }
  }

  private func add(_ source: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, _ count: Int) {
    forEachWhole(count) { store(load(target + $0) + load(source + $0), target + $0) }
  }

  func backward(_ pass: Pass) {
    guard let gradient = pass.gradient(output) else { return }
    for input in inputs {
      guard let target = pass.gradient(input) else { continue }
      let adds = pass.addsGradient(input)
      forEachWhole(pass.samples * output.width) { index in
        let part = load(gradient + index)
        store(adds ? load(target + index) + part : part, target + index)
      }
    }
  }
}
