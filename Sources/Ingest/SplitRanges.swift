import BatchStore

/// Which samples belong to which part, in the order in which they were read. Those that are trained on come first.
struct SplitRanges: Equatable {
  let train: Range<Int>
  let valid: Range<Int>
  let holdout: Range<Int>

  /// - Parameter samples: of training, validation and test inputs, which follow one another.
  init(_ samples: [Int], holdout share: Double, valid validShare: Double) {
    let held = heldOut(of: samples[0], share: share)
    let validated = min(samples[0] - held - 1, heldOut(of: samples[0], share: validShare))
    let end = samples[0]
    train = 0..<end - held - validated
    valid = samples[1] > 0 ? end..<end + samples[1] : train.upperBound..<end - held
    holdout =
      samples[2] > 0 ? end + samples[1]..<end + samples[1] + samples[2] : end - held..<end
  }

  var all: [(split: Split, range: Range<Int>)] { [(.train, train), (.valid, valid), (.holdout, holdout)] }
}

/// Samples that are held out: `share` of them rounded down, where a product that is whole but for its last bits (0.29 of
/// 100) counts as whole.
func heldOut(of samples: Int, share: Double) -> Int {
  min(samples - 1, Int((Double(samples) * share * (1 + 1e-12)).rounded(.down)))
}
