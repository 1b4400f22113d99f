import BatchStore
import Foundation
import Ingest
import Primitives

/// A random line in Criteo's layout; few distinct values, so that they repeat.
func randomLine(_ random: CounterRandom, values: UInt64 = 40) -> String {
  var fields = [String(random.below(2, 0))]
  for column in 0..<13 {
    let kind = random.below(5, UInt64(100 + column))
    fields.append(kind == 0 ? "" : String(Int64(random.below(50, UInt64(200 + column))) - 5))
  }
  for column in 0..<26 {
    let unit = random.uniform(UInt64(300 + column))
    let value = UInt64(unit * unit * Double(values))
    fields.append(value == 3 ? "" : String(value * 7919, radix: 16))
  }
  return fields.joined(separator: "\t")
}

func randomLog(lines: Int, seed: UInt64, values: UInt64 = 40) -> [String] {
  let random = CounterRandom(seed: seed, stream: 77)
  return (0..<lines).map { randomLine(CounterRandom(random, UInt64($0)), values: values) }
}

extension URL {
  /// Writes `text` to a file in this directory and returns its path.
  func file(_ name: String, _ text: String) throws -> String {
    try file(name, Data(text.utf8))
  }

  func file(_ name: String, _ bytes: Data) throws -> String {
    let url = appendingPathComponent(name)
    try bytes.write(to: url)
    return url.path
  }
}

/// One sample as a dataset holds it.
struct StoredSample: Equatable {
  var label: Float
  var dense: [Float]
  var rows: [UInt32]
}

extension Batch {
  func sample(_ position: Int) -> StoredSample {
    StoredSample(
      label: labels[position],
      dense: (0..<layout.denseCount).map { dense[position * layout.denseCount + $0] },
      rows: (0..<layout.featureCount).map { keys[Int(inverse[$0 * sampleCount + position])].row })
  }
}

/// Every sample of a split in order, and the samples of each batch.
func storedSamples(_ dataset: Dataset, _ split: Split) throws -> (samples: [StoredSample], batches: [Int]) {
  let reader = try dataset.reader(split)
  let batch = Batch(layout: reader.layout)
  var samples: [StoredSample] = []
  var batches: [Int] = []
  for index in 0..<reader.batchCount {
    try reader.read(index, into: batch)
    batches.append(batch.sampleCount)
    samples += (0..<batch.sampleCount).map { batch.sample($0) }
  }
  return (samples, batches)
}

/// The row of every value by the rule, the plain way: values at least `frequent` times by count, then the rest, ties and
/// rest by first appearance.
func referenceRows(_ values: [String], minimumCount: Int) -> [String: UInt32] {
  var counts: [String: Int] = [:]
  var order: [String] = []
  for value in values where !value.isEmpty {
    if counts[value] == nil { order.append(value) }
    counts[value, default: 0] += 1
  }
  let kept = order.filter { counts[$0, default: 0] >= minimumCount }
  let frequent = kept.enumerated().filter { counts[$0.element, default: 0] >= 16 }.sorted {
    let (left, right) = (counts[$0.element, default: 0], counts[$1.element, default: 0])
    return left != right ? left > right : $0.offset < $1.offset
  }.map(\.element)
  let rows = frequent + kept.filter { counts[$0, default: 0] < 16 }
  return Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($1, UInt32($0 + 2)) })
}
