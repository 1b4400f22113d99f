import Foundation
import Models
import Primitives

/// Seeded batches in memory, deduplicated as a dataset holds them, over tables whose rows all lie in one buffer.
struct SyntheticBatches {
  let rowFloats: Int
  private let rows: AlignedBuffer<Float>
  private let batches: [SyntheticBatch]

  /// - Parameters:
  ///   - count: batches; they are used in turns.
  ///   - zipf: exponent of the ids' frequencies.
  init(count: Int, samples: Int, tableRows: [Int], dimension: Int, stateFloats: Int, zipf: Double) {
    let random = CounterRandom(seed: 1, stream: 3)
    rowFloats = dimension + stateFloats
    rows = AlignedBuffer(count: tableRows.reduce(0, +) * rowFloats)
    // Cheap values of the size that rows start with; states stay zero.
    for row in 0..<rows.count / rowFloats {
      for column in 0..<dimension {
        rows.base[row * rowFloats + column] = Float((row &* 31 &+ column &* 17) & 1023) * 2e-5 - 0.01
      }
    }
    batches = (0..<count).map { index in
      SyntheticBatch(
        samples: samples, tableRows: tableRows, zipf: zipf, random: CounterRandom(random, UInt64(index)))
    }
  }

  func input(_ index: Int) -> BatchInput {
    let batch = batches[index % batches.count]
    return BatchInput(
      sampleCount: batch.samples, dense: batch.dense.base, labels: batch.labels.base,
      weights: nil, uniqueCount: batch.uniqueCount, tableOffsets: batch.tableOffsets.base,
      entryOffsets: batch.entryOffsets.base, inverse: batch.inverse.base, bagOffsets: nil, rows: rows.base,
      rowFloats: rowFloats, slots: batch.slots.base)
  }
}

private struct SyntheticBatch {
  let samples: Int
  let uniqueCount: Int
  let dense: AlignedBuffer<Float>
  let labels: AlignedBuffer<Float>
  let tableOffsets: AlignedBuffer<UInt32>
  let entryOffsets: AlignedBuffer<UInt32>
  let inverse: AlignedBuffer<UInt32>
  let slots: AlignedBuffer<UInt32>

  init(samples: Int, tableRows: [Int], zipf: Double, random: CounterRandom) {
    self.samples = samples
    let denseRandom = CounterRandom(random, 1)
    let labelRandom = CounterRandom(random, 2)
    dense = AlignedBuffer(count: samples * ShapeOptions.denseCount)
    for index in 0..<dense.count { dense.base[index] = Float(denseRandom.uniform(UInt64(index))) }
    labels = AlignedBuffer(count: samples)
    for index in 0..<samples { labels.base[index] = labelRandom.uniform(UInt64(index)) < 0.25 ? 1 : 0 }
    tableOffsets = AlignedBuffer(count: tableRows.count + 1)
    inverse = AlignedBuffer(count: tableRows.count * samples)
    entryOffsets = AlignedBuffer(count: tableRows.count + 1)
    for table in 0...tableRows.count { entryOffsets.base[table] = UInt32(table * samples) }
    slots = AlignedBuffer(count: tableRows.count * samples)
    var unique = 0
    var firstRow = 0
    for (table, rows) in tableRows.enumerated() {
      let draw = CounterRandom(random, UInt64(3 + table))
      // Row and sample in one number: sorted, equal rows lie together.
      let drawn = (0..<samples).map { sample -> UInt64 in
        let rank = zipfRank(rows, exponent: zipf, draw.uniform(UInt64(sample)))
        return UInt64(scattered(rank, rows)) << 32 | UInt64(sample)
      }.sorted()
      var previous = UInt64.max
      for entry in drawn {
        if entry >> 32 != previous {
          previous = entry >> 32
          slots.base[unique] = UInt32(firstRow + Int(previous))
          unique += 1
        }
        inverse.base[table * samples + Int(entry & 0xFFFF_FFFF)] = UInt32(unique - 1)
      }
      tableOffsets.base[table + 1] = UInt32(unique)
      firstRow += rows
    }
    uniqueCount = unique
  }
}

/// A rank from 0 ..< count with frequency (rank + 1)^-exponent, by inverting the continuous distribution.
func zipfRank(_ count: Int, exponent: Double, _ uniform: Double) -> Int {
  let largest = Double(count + 1)
  let rank =
    abs(exponent - 1) < 1e-9
    ? exp(uniform * log(largest)) : pow(uniform * (pow(largest, 1 - exponent) - 1) + 1, 1 / (1 - exponent))
  return min(Int(rank) - 1, count - 1)
}

/// Spreads frequent ranks over the table, each to a place of its own.
private func scattered(_ rank: Int, _ count: Int) -> Int {
  // A prime above every table: it divides none of them.
  count > 64 ? rank * (4_294_967_311 % count) % count : rank
}
