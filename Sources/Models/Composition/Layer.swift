package import Primitives

/// The result of a layer: a matrix of one row of `width` floats a sample. A handle; where the numbers lie is the
/// network's affair.
package struct Value: Equatable, Sendable {
  let index: Int
  package let width: Int
  /// False for data, and for what is computed from data alone.
  let needsGradient: Bool
}

/// One step of a network from values to a value.
///
/// A layer owns no memory. Matrices are row-major `[samples × width]` without gaps; a matrix has room for eight floats
/// more, so that a pass over all of it needs no tail. Passes must depend on the samples of their chunk alone, and sum
/// over them in their order.
package protocol Layer: Sendable {
  /// What messages call it.
  var name: String { get }
  var inputs: [Value] { get }
  var output: Value { get }
  /// Matrices of its own that it keeps from its forward to its backward pass.
  var kept: [Value] { get }
  /// The layer's place among the parameters. Empty for a layer without any.
  var parameterRange: Range<Int> { get }
  /// What lies there and among the running averages, by the names of torch.nn, for export.
  var tensors: [LayerTensor] { get }
  func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom)
  func forward(_ pass: Pass)
  /// Reads the gradient by its output (and may overwrite it); adds to the gradients of its parameters, and to those of
  /// its inputs or writes them, as `pass.addsGradient` says.
  func backward(_ pass: Pass)
  /// `forward` for prediction, on one `SampleGroup`.
  func score(_ pass: ScorePass)
}

extension Layer {
  package var kept: [Value] { [] }
  package var parameterRange: Range<Int> { 0..<0 }
  package var tensors: [LayerTensor] { [] }
  package func initialize(_ parameters: UnsafeMutablePointer<Float>, random: CounterRandom) {}
}

/// A layer that needs something of the whole batch before it can go on with any sample, and so ends a segment.
///
/// `measure` and `measureGradients` run for each chunk in a lane's order, into the lane's own numbers; `conclude` and
/// `concludeGradients` then add the lanes in their order.
protocol BatchWideLayer: Layer {
  /// The layer's place among the running averages.
  var averageRange: Range<Int> { get }
  func initializeAverages(_ averages: UnsafeMutablePointer<Float>)
  func measure(_ pass: Pass)
  func conclude(_ pass: BatchPass)
  func measureGradients(_ pass: Pass)
  func concludeGradients(_ pass: BatchPass)
}

/// One chunk of a batch on its way through a network in training.
package struct Pass {
  let batch: BatchInput
  /// The chunk's first sample in the batch.
  let first: Int
  package let samples: Int
  /// Number of the batch since training began.
  let step: Int
  let lane: Int
  let parameters: UnsafePointer<Float>
  /// Of the lane, laid out as the parameters.
  let gradients: UnsafeMutablePointer<Float>
  /// Whether the lane's gradients are there already.
  let accumulate: Bool
  /// `[samples of the batch × the rows' gradient stride]`.
  let rowGradients: UnsafeMutablePointer<Float>
  /// What batch-wide layers know of the batch.
  let statistics: UnsafeMutablePointer<Double>
  let arena: UnsafeMutablePointer<Float>
  let places: TrainingPlaces
  let rowShape: RowShape
  /// The layer that runs.
  var layer = 0

  func value(_ value: Value) -> UnsafeMutablePointer<Float> { arena + places.values[value.index] }

  /// Where the gradient by `value` lies, or nil if nobody needs it.
  func gradient(_ value: Value) -> UnsafeMutablePointer<Float>? {
    value.needsGradient ? arena + places.gradients[value.index] : nil
  }

  /// Whether the gradient by this input is there already, from a layer further on.
  func addsGradient(_ value: Value) -> Bool { places.lastConsumer[value.index] != layer }

  /// Memory of the layer's own, as many floats as it asked for; nothing in it outlives the call.
  var scratch: UnsafeMutablePointer<Float> { arena + places.scratch }
}

/// The whole batch, between two segments.
struct BatchPass {
  let sampleCount: Int
  let lanes: Int
  let parameterCount: Int
  /// `[lanes × parameterCount]`.
  let laneGradients: UnsafePointer<Float>
  let statistics: UnsafeMutablePointer<Double>
  let averages: UnsafeMutablePointer<Float>
}

/// One group of at most `SampleGroup.size` samples on its way through a network for prediction. A matrix is
/// `[width × SampleGroup.size]`; places past the last sample hold anything.
package struct ScorePass {
  let batch: BatchInput
  let first: Int
  let samples: Int
  let parameters: UnsafePointer<Float>
  let averages: UnsafePointer<Float>
  let arena: UnsafeMutablePointer<Float>
  let places: [Int]
  let rowShape: RowShape

  func value(_ value: Value) -> UnsafeMutablePointer<Float> { arena + places[value.index] }
}
