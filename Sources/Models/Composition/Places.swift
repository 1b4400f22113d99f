/// Where the matrices of a chunk lie in an arena. Matrices that are never needed at the same time share memory.
struct TrainingPlaces: Sendable {
  /// Per value: its offset in floats.
  let values: [Int]
  /// Per value: the offset of its gradient; 0 where there is none.
  let gradients: [Int]
  let scratch: Int
  /// Floats of the arena.
  let floats: Int
  /// Per value: the layer that first writes its gradient, being the last to use it; the layer count for the logit.
  let lastConsumer: [Int]

  /// - Parameter samples: most samples of a chunk; with 0 the arena is empty.
  init(_ layers: [any Layer], values: [Value], logit: Value, scratchFloats: Int, samples: Int) {
    var producer = Array(repeating: 0, count: values.count)
    var lastConsumer = Array(repeating: 0, count: values.count)
    for (index, layer) in layers.enumerated() {
      for value in layer.kept + [layer.output] { producer[value.index] = index }
      for input in layer.inputs { lastConsumer[input.index] = index }
    }
    lastConsumer[logit.index] = layers.count
    // Layer i goes forward at time i and back at time 2n - i; the loss stands at n.
    let end = 2 * layers.count
    var requests: [Lifetime] = []
    for value in values {
      requests.append(
        Lifetime(
          floats: samples * value.width, first: producer[value.index], last: end - producer[value.index]))
    }
    for value in values {
      requests.append(
        Lifetime(
          floats: value.needsGradient ? samples * value.width : 0, first: end - lastConsumer[value.index],
          last: end - producer[value.index]))
    }
    requests.append(Lifetime(floats: samples > 0 ? scratchFloats : 0, first: 0, last: end))
    let (offsets, floats) = placed(requests)
    self.values = Array(offsets.prefix(values.count))
    gradients = Array(offsets[values.count..<2 * values.count])
    scratch = offsets[2 * values.count]
    self.floats = floats
    self.lastConsumer = lastConsumer
  }
}

/// The same for a group of samples in prediction: offset of each value, and the floats of the arena.
func scoringPlaces(_ layers: [any Layer], values: [Value], logit: Value) -> (offsets: [Int], floats: Int) {
  var requests = values.map { value in
    Lifetime(floats: value.width * SampleGroup.size, first: layers.count, last: 0)
  }
  for (index, layer) in layers.enumerated() {
    for value in layer.kept + [layer.output] {
      requests[value.index].first = index
      requests[value.index].last = index
    }
    for input in layer.inputs { requests[input.index].last = index }
  }
  requests[logit.index].last = layers.count
  return placed(requests)
}

/// How long a part of an arena is needed, both ends included.
private struct Lifetime {
  let floats: Int
  var first: Int
  var last: Int
}

/// Gives each request the lowest place that nothing uses meanwhile. Every place starts on a cache line and has eight floats
/// to spare.
private func placed(_ requests: [Lifetime]) -> (offsets: [Int], floats: Int) {
  var offsets: [Int] = []
  var total = 0
  for (index, request) in requests.enumerated() {
    guard request.floats > 0 else {
      offsets.append(0)
      continue
    }
    let size = (request.floats + 8 + 15) & ~15
    let occupied = (0..<index).filter {
      requests[$0].floats > 0 && requests[$0].first <= request.last && request.first <= requests[$0].last
    }.sorted { (offsets[$0], $0) < (offsets[$1], $1) }
    var offset = 0
    for other in occupied {
      if offset + size <= offsets[other] { break }
      offset = max(offset, offsets[other] + ((requests[other].floats + 8 + 15) & ~15))
    }
    offsets.append(offset)
    total = max(total, offset + size)
  }
  return (offsets, total)
}
