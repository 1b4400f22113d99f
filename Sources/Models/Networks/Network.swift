import Primitives

/// The samples `first ..< first + count` of a batch.
struct Chunk {
  let batch: BatchInput
  let first: Int
  let count: Int
}

/// The dense part of a model over (dense features, embeddings): a value that composes layers, knows where each keeps its
/// parameters and activations, and runs one chunk forward and backward.
///
/// It owns no buffer. Parameters, gradients and scratch memory come from outside, so chunks run on any thread.
protocol Network: Sendable {
  /// All layers, in the order of their parameters.
  var layers: [Linear] { get }
  var dimension: Int { get }
  /// Floats of scratch memory that one worker needs for training chunks of the size it was made for and for scoring. It
  /// must be zero before the first use and is the network's own between uses.
  var scratchFloats: Int { get }

  /// Forward and backward.
  ///
  /// - Parameters:
  ///   - gradients: laid out as the parameters; added to if `accumulate`, else overwritten.
  ///   - rowGradients: `[sampleCount of the batch × tables × paddedDimension]`; the chunk's samples are written.
  /// - Returns: the chunk's summed loss.
  func train(
    _ chunk: Chunk, parameters: UnsafePointer<Float>, gradients: UnsafeMutablePointer<Float>,
    accumulate: Bool,
    rowGradients: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
  ) -> Double

  /// Forward only, on at most `SampleGroup.size` samples: writes their probabilities to `scores`, at their places in the
  /// batch. A sample's score does not depend on the samples beside it.
  func score(
    _ chunk: Chunk, parameters: UnsafePointer<Float>, scores: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>)
}

extension Network {
  var parameterCount: Int { layers.reduce(0) { $0 + $1.parameterCount } }
  /// Floats of one row's gradient: the dimension, padded with zeros to whole vectors.
  var paddedDimension: Int { paddedToVector(dimension) }
}

/// Copies the weights of the rows that a chunk uses: sample i, table t to `target + i * sampleStride + t * vectorStride`.
func gatherRows(
  _ chunk: Chunk, tables: Int, dimension: Int, into target: UnsafeMutablePointer<Float>, sampleStride: Int,
  vectorStride: Int
) {
  let rows = chunk.batch.rows
  let rowFloats = chunk.batch.rowFloats
  let slots = chunk.batch.slots
  let whole = dimension & ~7
  // How many samples ahead a row is asked for: a few hundred nanoseconds, the time of a read from memory.
  let ahead = 16
  for table in 0..<tables {
    let inverse = chunk.batch.inverse + table * chunk.batch.sampleCount + chunk.first
    let column = target + table * vectorStride
    for sample in 0..<chunk.count {
      if sample + ahead < chunk.count {
        CPU.prefetch(rows + Int(slots[Int(inverse[sample + ahead])]) * rowFloats)
      }
      let source = rows + Int(slots[Int(inverse[sample])]) * rowFloats
      let place = column + sample * sampleStride
      var index = 0
      while index < whole {
        store(load(source + index), place + index)
        index += 8
      }
      while index < dimension {
        place[index] = source[index]
        index += 1
      }
    }
  }
}
