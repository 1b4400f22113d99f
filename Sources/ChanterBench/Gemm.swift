import ArgumentParser
import COpenBLAS
import Primitives

/// The matrix products of a training step and nothing else, through OpenBLAS, each thread on its own share of the batch:
/// the ceiling of `step`.
struct Gemm: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The matrix products of a training step through OpenBLAS, one thread on each core.")
  @OptionGroup var shapes: ShapeOptions

  func run() throws {
    openblas_set_num_threads(1)
    let layers = try shapes.products()
    let samples = max(1, shapes.batch / shapes.threads)
    let flops = layers.reduce(0) { $0 + $1.flopsPerSample }
    let workers = WorkerPool(threadCount: shapes.threads)
    let buffers = (0..<shapes.threads).map { _ in ProductBuffers(layers, samples: samples) }
    let counts = AlignedBuffer<Int>(count: shapes.threads)
    try takeTurns(["flops_per_sample": Double(flops)]) { deadline in
      workers.run(shapes.threads) { task, _ in
        var rounds = 0
        repeat {
          for layer in layers { layer.run(buffers[task], samples: samples) }
          rounds += 1
        } while ContinuousClock.now < deadline
        counts.base[task] = rounds
      }
      return counts.prefix().reduce(0, +) * samples
    }
  }
}

extension ShapeOptions {
  /// The linear layers of the model: of all but dlrm the hidden layers over vectors and dense features and the last one,
  /// and the matrices of dcn_v2's three cross layers.
  fileprivate func products() throws -> [Product] {
    func chain(_ sizes: [Int], needsInputGradient: Bool) -> [Product] {
      zip(sizes, sizes.dropFirst()).enumerated().map {
        Product(inputs: $1.0, outputs: $1.1, needsInputGradient: $0 > 0 || needsInputGradient)
      }
    }
    let tables = Self.kaggleRows.count
    if model == "dlrm" {
      let interactions = try dimension() + (tables + 1) * tables / 2
      return chain([Self.denseCount] + (try sizes(bottom)), needsInputGradient: false)
        + chain([interactions] + (try sizes(top)), needsInputGradient: true)
    }
    let input = try tables * dimension() + Self.denseCount
    let cross = Array(
      repeating: Product(inputs: input, outputs: input, needsInputGradient: true),
      count: model == "dcn_v2" ? 3 : 0)
    return cross + chain([input] + (try sizes(hidden)) + [1], needsInputGradient: true)
  }
}

/// The three products of one linear layer.
private struct Product {
  let inputs: Int
  let outputs: Int
  /// False for the first layer over data.
  let needsInputGradient: Bool

  var flopsPerSample: Int { 2 * inputs * outputs * (needsInputGradient ? 3 : 2) }

  func run(_ buffers: ProductBuffers, samples: Int) {
    let (rows, columns, inner) = (Int32(samples), Int32(outputs), Int32(inputs))
    let (input, output, weights) = (buffers.input.base, buffers.output.base, buffers.weights.base)
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, rows, columns, inner, 1, input, inner, weights, inner, 0,
      output,
      columns)
    cblas_sgemm(
      CblasRowMajor, CblasTrans, CblasNoTrans, columns, inner, rows, 1, output, columns, input, inner, 0,
      buffers.weightGradient.base, inner)
    if needsInputGradient {
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, inner, columns, 1, output, columns, weights, inner,
        0,
        buffers.inputGradient.base, inner)
    }
  }
}

/// One thread's matrices, large enough for each layer.
private struct ProductBuffers: Sendable {
  let input: AlignedBuffer<Float>
  let output: AlignedBuffer<Float>
  let weights: AlignedBuffer<Float>
  let inputGradient: AlignedBuffer<Float>
  let weightGradient: AlignedBuffer<Float>

  init(_ layers: [Product], samples: Int) {
    let inputs = layers.map(\.inputs).max() ?? 0
    let outputs = layers.map(\.outputs).max() ?? 0
    let largest = layers.map { $0.inputs * $0.outputs }.max() ?? 0
    input = AlignedBuffer(count: samples * inputs)
    output = AlignedBuffer(count: samples * outputs)
    weights = AlignedBuffer(count: largest)
    inputGradient = AlignedBuffer(count: samples * inputs)
    weightGradient = AlignedBuffer(count: largest)
    for index in 0..<input.count { input.base[index] = Float(index % 17) * 0.1 - 0.8 }
    for index in 0..<weights.count { weights.base[index] = Float(index % 13) * 0.01 - 0.06 }
  }
}
