import BatchStore
import Foundation
import Primitives

/// The numbering of values of which some lie on the disk, done once and kept until the output is finished.
struct SpilledNumbering: Codable {
  /// By table.
  let names: [String]
  let rows: [UInt32]
  let identity: String
  /// Where the rows of the spilled uses lie in their file.
  let resolvedBytes: Int
  let thresholds: ThresholdCounts

  /// Counts the spilled values, numbers all, writes the vocabulary, and gives each spilled use its row.
  static func make(
    _ tables: [TableValues], _ rule: NumberingRule, training: Int, memory: PreprocessMemory,
    parent: String?, hashRows: Int?, work: RunWork, _ pool: WorkerPool,
    _ progress: (PreprocessProgress) throws -> Void
  ) throws -> SpilledNumbering {
    var partitions: [SpilledPartition] = []
    for table in tables {
      try table.spilled?.finish()
      partitions += table.spilled?.partitions ?? []
    }
    let scratch = try StreamFile(temporaryIn: work.output.directory)
    let settings = SpillWork(
      scratch, training: training, minimumCount: rule.minimumCount, valueBytes: memory.partitionBytes)
    func each(_ phase: PreprocessProgress.Phase, _ body: (SpilledPartition) throws -> Void) throws {
      for first in stride(from: 0, to: partitions.count, by: pool.threadCount) {
        let group = partitions[first..<min(partitions.count, first + pool.threadCount)]
        let failures = Failures(group.count)
        pool.run(group.count) { task, _ in
          failures.catching(task) { try body(group[first + task]) }
        }
        try failures.rethrow()
        try progress(PreprocessProgress(phase: phase, done: first + group.count, total: partitions.count))
      }
    }
    try each(.counting) { try $0.count(settings) }
    let path = work.file(.vocabulary)
    File.remove(path)
    let (numbering, identity) = try FinalNumbering.merging(
      tables, rule, parent: parent, hashRows: hashRows, to: path, scratch
    ) { try progress(PreprocessProgress(phase: .numbering, done: $0, total: tables.count)) }
    try each(.resolving) { try $0.resolve(scratch) }
    let resolved = try StreamFile(work.file(.resolved))
    let failures = Failures(tables.count)
    pool.run(tables.count) { table, _ in
      failures.catching(table) { try tables[table].spilled?.resolve(resolved, number: table) }
    }
    try failures.rethrow()
    var thresholds = ThresholdCounts()
    for table in tables { thresholds.add(table.counter.statistics) }
    for partition in partitions { thresholds.add(partition.statistics) }
    try numbering.write(to: resolved, firstStream: tables.count)
    let made = SpilledNumbering(
      names: numbering.tables.map(\.name), rows: numbering.tables.map(\.rows), identity: identity,
      resolvedBytes: resolved.bytes, thresholds: thresholds)
    try work.end(.numbering, made, files: [.vocabulary], records: [.resolved])
    work.remove(.spilled)
    return made
  }

  /// What `make` made, perhaps in an earlier process.
  /// - Returns: the numbering, and by table the rows of the spilled uses.
  func load(_ work: RunWork) throws -> (FinalNumbering, [StreamReader?]) {
    let file = try StreamFile(work.file(.resolved), keeping: resolvedBytes)
    let streams = try file.streams(2 * rows.count)
    let layouts = zip(names, rows).map { TableLayout(name: $0, rows: $1) }
    let numbering = FinalNumbering(
      tables: layouts, order: [], rows: try streams[rows.count...].map(FinalNumbering.read))
    return (numbering, streams[..<rows.count].map { StreamReader($0) })
  }
}

extension FinalNumbering {
  /// Writes the rows of each table as a stream: their number, then the rows.
  fileprivate func write(to file: StreamFile, firstStream: Int) throws {
    for (table, rows) in rows.enumerated() {
      let writer = StreamWriter(file, number: firstStream + table)
      try writer.append(UInt32(rows.count))
      for row in rows { try writer.append(row) }
      try writer.finish()
    }
  }

  fileprivate static func read(_ stream: ByteStream) throws -> [UInt32] {
    let reader = StreamReader(stream)
    return try (0..<(try reader.nextInteger())).map { _ in try reader.nextInteger() }
  }
}
