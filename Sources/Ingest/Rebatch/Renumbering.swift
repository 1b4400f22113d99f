import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// New numbers for the rows of a dataset, by the rule of preprocessing: values seen at least 16 times in training by
/// frequency, ties in the order in which they come first now, then the others in that order. What training does not use follows
/// as it was.
///
/// Two sorts on the disk, of the values by their new places and of the new numbers by the old ones. Memory: `memory`, and
/// `leastBytes`; the new numbers lie in a file of 4 bytes by row, of which the system keeps in its cache what it has room for.
///
/// Unchecked `Sendable`: nothing changes after `init`.
final class Renumbering: @unchecked Sendable {
  /// Uses, and place of the first.
  private static let bytesByRow = 12
  /// Holds the longest value.
  private static let leastRunBytes = 1 << 17

  private let featuresByTable: [[Int]]
  /// Where the rows of each table begin among those of all.
  private let starts: [Int]
  private let mapped: UnsafeMutableRawPointer
  private let mappedBytes: Int

  /// Memory beside `memory`: what merges runs, and samples that are counted.
  static func leastBytes(chunk: Int) -> Int { 2 * LineSorter.bytes(runBytes: leastRunBytes) + chunk }

  /// - Parameter numbers: what `make` wrote for this dataset.
  init(_ manifest: Manifest, numbers file: File) throws {
    starts = Self.starts(manifest)
    featuresByTable = Self.featuresByTable(manifest)
    mappedBytes = max(1, 4 * (starts.last ?? 0))
    // Beyond the end of an empty file nothing is read.
    guard let mapped = mmap(nil, mappedBytes, PROT_READ, MAP_SHARED, file.descriptor, 0), mapped != MAP_FAILED
    else { throw File.failure("cannot map", file.path) }
    self.mapped = mapped
  }

  private static func starts(_ manifest: Manifest) -> [Int] {
    var starts = [0]
    for table in manifest.tables { starts.append((starts.last ?? 0) + Int(table.rows)) }
    return starts
  }

  private static func featuresByTable(_ manifest: Manifest) -> [[Int]] {
    manifest.tables.indices.map { table in
      manifest.features.indices.filter { manifest.features[$0].table == table }
    }
  }

  /// Numbers the rows and writes the vocabulary to `path`.
  /// - Parameters:
  ///   - training: the samples of the training split in their new order.
  ///   - chunkSamples: how many are read at once.
  ///   - numbers: an empty file, which gets 4 bytes by row.
  /// - Returns: the identity of the vocabulary.
  static func make(
    _ dataset: Dataset, training: any SampleSource, chunkSamples: Int, directory: String, path: String,
    numbers file: File, memory: Int, _ progress: (RebatchProgress) throws -> Void
  ) throws -> String {
    let manifest = dataset.manifest
    let starts = starts(manifest)
    let featuresByTable = featuresByTable(manifest)
    let runBytes = max(leastRunBytes, memory / 16)
    var uses = RowUses(
      starts: starts, featuresByTable: featuresByTable, most: max(1, memory / 2 / bytesByRow))
    let samples = SampleBatch(shape: manifest.shape, capacity: chunkSamples)
    let total = manifest.train.samples
    let reader = try VocabularyReader(dataset.vocabularyPath)
    let writer = try VocabularyWriter(path, tableCount: manifest.tables.count, hashRows: reader.hashRows)
    for (number, table) in manifest.tables.enumerated() {
      guard try reader.nextTable() == table else { throw foreignVocabulary(dataset) }
      try writer.beginTable(table)
      let values = LineSorter(directory: directory, runBytes: runBytes)
      for row in Vocabulary.reservedRows..<max(Vocabulary.reservedRows, Int(table.rows)) {
        let global = starts[number] + row
        if !uses.rows.contains(global) {
          uses.begin(at: global)
          for first in stride(from: 0, to: total, by: chunkSamples) {
            try training.read(first..<min(total, first + chunkSamples), into: samples)
            uses.count(samples)
            try progress(RebatchProgress(phase: .counting, done: first + samples.sampleCount, total: total))
          }
        }
        guard let value = try reader.nextValue() else { throw foreignVocabulary(dataset) }
        try values.add(uses.key(of: global, row: row), value)
      }
      guard try reader.nextValue() == nil else { throw foreignVocabulary(dataset) }
      let numbers = LineSorter(directory: directory, runBytes: runBytes)
      var next = UInt32(Vocabulary.reservedRows)
      try values.finish { key, value in
        try writer.append(value)
        try withUnsafeBytes(of: next) {
          try numbers.add(LineKey(part: 0, time: 0, sequence: Int(key.sequence)), $0)
        }
        next += 1
      }
      for row in 0..<UInt32(min(Vocabulary.reservedRows, Int(table.rows))) {
        try withUnsafeBytes(of: row) { try file.write($0) }
      }
      try numbers.finish { try file.write($1) }
      try progress(
        RebatchProgress(phase: .renumbering, done: starts[number + 1], total: starts[manifest.tables.count]))
    }
    guard try reader.nextTable() == nil, try reader.finish() == manifest.vocabularyIdentity else {
      throw foreignVocabulary(dataset)
    }
    return try writer.finish()
  }

  deinit { munmap(mapped, mappedBytes) }

  /// Gives samples the new numbers.
  func apply(to samples: SampleBatch) {
    let rows = mapped.assumingMemoryBound(to: UInt32.self)
    for (table, features) in featuresByTable.enumerated() {
      let own = rows + starts[table]
      samples.forEachEntry(of: features, in: 0..<samples.sampleCount) { $0.pointee = own[Int($0.pointee)] }
    }
  }
}

func foreignVocabulary(_ dataset: Dataset) -> ChanterError {
  ChanterError(
    .mismatch, "the vocabulary belongs to another dataset; restore the right file",
    path: dataset.vocabularyPath)
}

/// How often training uses some rows, and where first.
private struct RowUses {
  /// The rows that are counted, numbered through all tables.
  private(set) var rows = 0..<0
  private let starts: [Int]
  private let featuresByTable: [[Int]]
  private let counts: AlignedBuffer<UInt32>
  private let first: AlignedBuffer<Int>
  /// Entries so far by table.
  private var places: [Int]

  /// - Parameter most: rows that are counted at once.
  init(starts: [Int], featuresByTable: [[Int]], most: Int) {
    self.starts = starts
    self.featuresByTable = featuresByTable
    counts = AlignedBuffer(count: min(most, starts.last ?? 0))
    first = AlignedBuffer(count: counts.count)
    places = featuresByTable.map { _ in 0 }
  }

  /// Forgets what was counted; the rows from `row` on are next.
  mutating func begin(at row: Int) {
    rows = row..<min(row + counts.count, starts.last ?? 0)
    counts.base.update(repeating: 0, count: counts.count)
    for table in places.indices { places[table] = 0 }
  }

  mutating func count(_ samples: SampleBatch) {
    let (counts, first, rows) = (counts.base, first.base, rows)
    for (table, features) in featuresByTable.enumerated()
    where starts[table] < rows.upperBound && starts[table + 1] > rows.lowerBound {
      let start = starts[table]
      var place = places[table]
      samples.forEachEntry(of: features, in: 0..<samples.sampleCount) { row in
        let global = start + Int(row.pointee)
        if rows.contains(global) {
          let index = global - rows.lowerBound
          if counts[index] == 0 { first[index] = place }
          if counts[index] < .max { counts[index] += 1 }
        }
        place += 1
      }
      places[table] = place
    }
  }

  /// Where a row of a table belongs among the others: frequent ones by their uses, the others behind them, unused ones last;
  /// then by their first use.
  func key(of global: Int, row: Int) -> LineKey {
    let index = global - rows.lowerBound
    let uses = counts.base[index]
    if uses == 0 { return LineKey(part: 1 << 33, time: 0, sequence: row) }
    let isFrequent = uses >= ValueCounter.frequentCount
    return LineKey(
      part: isFrequent ? 1 << 32 - Int(uses) : 1 << 32, time: Int64(first.base[index]), sequence: row)
  }
}
