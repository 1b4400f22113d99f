import BatchStore
import Primitives

/// Makes the batches of all splits from samples with provisional rows.
struct Encoding {
  let spool: SampleSpool
  let numbering: FinalNumbering
  /// By table: the rows of its spilled uses in order; nil for a table without.
  let spilled: [StreamReader?]
  let statistics: DenseStatistics
  let layout: InputLayout
  let precision: DensePrecision
  let pool: WorkerPool

  /// Goes on after the samples that `writer` has.
  /// - Parameter progress: called with the samples done.
  func run(
    _ parts: [(split: Split, range: Range<Int>)], to writer: DatasetWriter, _ progress: (Int) throws -> Void
  )
    throws
  {
    let readers = try (0..<pool.threadCount).map { _ in try SampleSpoolReader(spool) }
    let isSpilled = spilled.contains { $0 != nil }
    let places = (0..<writer.groupSize).map { _ in SpilledPlaces(layout) }
    let size = spool.chunkSamples
    // Rows of spilled values come in the order in which the samples were read.
    for (split, samples) in parts.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
      let start = samples.lowerBound + writer.samples(of: split)
      if isSpilled { try skip(samples.lowerBound..<start, readers, places) }
      for first in stride(from: start, to: samples.upperBound, by: writer.groupSize * size) {
        let end = min(samples.upperBound, first + writer.groupSize * size)
        try writer.append(
          (end - first + size - 1) / size, to: split,
          fill: { index, batch, worker in
            let from = first + index * size
            try readers[worker].read(from..<min(end, from + size), into: batch)
            try statistics.apply(to: batch, precision)
            if isSpilled { places[index].find(batch) }
            renumber(batch)
          }, complete: isSpilled ? { try place(places[$0]) } : nil)
        try progress(end)
      }
    }
  }

  private func renumber(_ samples: SampleBatch) {
    for (rows, features) in zip(numbering.rows, layout.featuresByTable) {
      rows.withUnsafeBufferPointer { rows in
        if features.count == 1, !layout.features[features[0]].isBag {
          let column = samples.rows.base + features[0] * samples.capacity
          for sample in 0..<samples.sampleCount { column[sample] = rows[Int(column[sample])] }
        } else {
          samples.forEachEntry(of: features, in: 0..<samples.sampleCount) {
            $0.pointee = rows[Int($0.pointee)]
          }
        }
      }
    }
  }

  /// Puts the rows of spilled values where they belong.
  private func place(_ places: SpilledPlaces) throws {
    for (table, reader) in spilled.enumerated() {
      guard let reader else { continue }
      for place in places.of(table) { place.pointee = try reader.nextInteger() }
    }
  }

  /// Passes over the spilled uses of samples that were encoded in a run that was interrupted.
  private func skip(_ samples: Range<Int>, _ readers: [SampleSpoolReader], _ places: [SpilledPlaces]) throws {
    let batch = SampleBatch(shape: layout.shape, capacity: spool.chunkSamples)
    for first in stride(from: samples.lowerBound, to: samples.upperBound, by: spool.chunkSamples) {
      try readers[0].read(first..<min(samples.upperBound, first + spool.chunkSamples), into: batch)
      places[0].find(batch)
      try place(places[0])
    }
  }
}

/// Where a batch uses spilled values, by table in the order of uses.
private final class SpilledPlaces {
  private let layout: InputLayout
  private var places: [[UnsafeMutablePointer<UInt32>]]

  init(_ layout: InputLayout) {
    self.layout = layout
    places = layout.tableNames.map { _ in [] }
  }

  func of(_ table: Int) -> [UnsafeMutablePointer<UInt32>] { places[table] }

  /// Finds the uses without a provisional row; the samples stay where they are until the rows are there.
  func find(_ samples: SampleBatch) {
    for (table, features) in layout.featuresByTable.enumerated() {
      places[table].removeAll(keepingCapacity: true)
      if features.count == 1, !layout.features[features[0]].isBag {
        let rows = samples.rows.base + features[0] * samples.capacity
        for sample in 0..<samples.sampleCount where rows[sample] == Vocabulary.unseenRow {
          places[table].append(rows + sample)
        }
        continue
      }
      samples.forEachEntry(of: features, in: 0..<samples.sampleCount) {
        if $0.pointee == Vocabulary.unseenRow { places[table].append($0) }
      }
    }
  }
}
