import Models
import Primitives

extension DenseModel {
  /// Trains on a batch; a number that is not finite ends the run before another commit.
  func train(_ batch: BatchInput, step: Int, learningRateFactor: Float, tables: [TableLayout]) throws
    -> Double
  {
    do {
      return try train(batch, step: step, learningRateFactor: learningRateFactor)
    } catch {
      let place =
        switch error.place {
        case .denseFeatures: "the dense features of the dataset"
        case .sampleWeights: "the sample weights of the dataset"
        case .table(let table): "table \(tables[table].name)"
        case .layer(let number, let name): "layer \(number + 1), \(name)"
        case .loss: "the loss"
        }
      throw ChanterError(
        .diverged,
        "batch \(step + 1): \(place) \(error.isAfterUpdate ? "became" : "is") infinite or not a number. Training has"
          + " diverged; start again with a lower rows.learning_rate or dense.learning_rate, or with clip_norm. The last"
          + " commit is as it was")
    }
  }
}

extension ChanterError.Kind {
  /// Training gave numbers that are not finite.
  static let diverged = ChanterError.Kind("diverged")
}
