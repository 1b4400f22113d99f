/// Where training met the first number that is infinite or not a number.
public struct NonFinite: Error, Equatable, Sendable {
  public enum Place: Equatable, Sendable {
    case denseFeatures
    case sampleWeights
    case table(Int)
    /// A layer, by its number among the network's layers and its kind.
    case layer(Int, String)
    case loss
  }

  public let place: Place
  /// Whether the batch found it there, or its own update made it.
  public let isAfterUpdate: Bool
}

/// Whether every one of `count` floats is finite.
func areFinite(_ values: UnsafePointer<Float>, _ count: Int) -> Bool {
  // x - x is zero for every finite number and NaN for all others, and NaN stays.
  var sum = Vector(repeating: 0)
  forEachVector(count) { index, lanes in
    let part = load(values + index, lanes)
    sum += part - part
  }
  return laneSum(sum) == 0
}
