import ArgumentParser
import Foundation
import Primitives
import TableStore

/// Makes a model whose rows all lie in blocks.
struct Fill: ParsableCommand {
  @OptionGroup var model: ModelArguments

  func run() throws {
    let layout = RowLayout(
      tables: [TableLayout(name: "C1", rows: model.rows)], dimension: 16, stateFloats: 1, seed: 1)
    let store = try ModelStore.create(
      at: model.path, header: "{}", layout: layout, dense: UnsafeRawBufferPointer(start: nil, count: 0),
      cursor: 0)
    try Report.timed(count: Int(model.rows), bytes: Int(model.rows) * layout.rowBytes) {
      _ = try store.loadAll { _, first, count, rows in
        for index in 0..<count * layout.rowFloats { rows[index] = Float((Int(first) + index) & 1023) }
      }
    }
  }

  @discardableResult
  static func compact(_ store: ModelStore) throws -> Compaction? {
    let compaction = try store.makeCompaction(maximumBlocks: 50_000)
    while let compaction, try !compaction.step() {}
    return compaction
  }
}

/// Commits as many changed rows as 64 batches leave, spread over the table, several times as a running trainer does. The first
/// commit is left out: it waits for memory that the system has not given the process before.
struct Commit: ParsableCommand {
  @OptionGroup var model: ModelArguments
  @Option(help: "Rows changed.") var count = 900_000
  @Option(help: "Commits that count.") var times = 5
  @Option(help: "Seed of the choice.") var seed: UInt64 = 1

  func run() throws {
    let store = try ModelStore.openForTraining(at: model.path)
    let clock = ContinuousClock()
    var seconds: [Double] = []
    var bytes = 0
    for time in 0...times {
      let changes = Changes(store.layout, keys: randomKeys(count, of: model.rows, seed: seed + UInt64(time)))
      let duration = try clock.measure { try changes.commit(to: store) }
      if time == 0, times > 0 { continue }
      seconds.append(duration / .seconds(1))
      bytes = changes.count * (store.layout.rowBytes + 8)
    }
    seconds.sort()
    Report(count: count, bytes: bytes, seconds: seconds[seconds.count / 2]).print()
  }
}

/// Moves everything committed into its blocks.
struct Compact: ParsableCommand {
  @OptionGroup var model: ModelArguments
  @OptionGroup var cache: CacheOption

  func run() throws {
    if cache.cold { try dropFromCache(model.path) }
    let store = try ModelStore.openForTraining(at: model.path)
    let start = ContinuousClock.now
    let compaction = try Fill.compact(store)
    Report(
      count: compaction?.blocksWritten ?? 0, bytes: compaction?.bytesWritten ?? 0,
      seconds: (ContinuousClock.now - start) / .seconds(1)
    ).print()
  }
}

/// Fetches rows as the prefetcher does: scattered (one from each of many blocks) or clustered (runs of adjacent blocks).
struct Fetch: ParsableCommand {
  @OptionGroup var model: ModelArguments
  @OptionGroup var cache: CacheOption
  @Option(help: "Rows of one request.") var batch = 4096
  @Option(help: "Requests.") var requests = 16
  @Flag(help: "Rows in runs of 16 adjacent blocks, one row a block, as rows first touched together lie.")
  var clustered = false
  @Flag(help: "Read past the system's cache, as where the file is far larger than the memory.") var direct =
    false
  @Flag(help: "Print how often the fetches allocate memory, instead; see countingAllocations.")
  var countsAllocations = false
  @Option(help: "Seed of the choice.") var seed: UInt64 = 2

  func run() throws {
    if cache.cold { try dropFromCache(model.path) }
    let store = try ModelStore.openForReading(at: model.path)
    let fetcher = try store.makeFetcher(maximumRows: batch, directAbove: direct ? 0 : nil)
    let floats = store.layout.rowFloats
    let rows = AlignedBuffer<Float>(count: batch * floats)
    let slots = (0..<UInt32(batch)).map { $0 }
    let perBlock = UInt32(store.layout.rowsPerBlock)
    let blocks = UInt64(model.rows / perBlock)
    let run: UInt64 = clustered ? 16 : 1
    guard UInt64(batch * requests) <= blocks else {
      throw ValidationError(
        "--rows \(model.rows): too few for \(requests) requests of \(batch) different blocks")
    }
    // Each run of blocks once: a prime beyond all of them times the number of the run, from a seeded start.
    let prime: UInt64 = 4_294_967_311
    let start = CounterRandom(seed: seed, stream: 1).below(blocks / run, 0)
    let lists = (0..<UInt64(requests)).map { request -> [RowKey] in
      let perRequest = UInt64(batch) / run
      let runs = (0..<perRequest).map { (start + (request * perRequest + $0) * prime) % (blocks / run) * run }
      return runs.sorted().flatMap { first in
        (first..<first + run).map { RowKey(table: 0, row: UInt32($0) * perBlock) }
      }
    }
    // Warm requests are made three times, and the last time counts: the first brings blocks into the system's cache, and the
    // second maps them, which costs a fault each.
    if !cache.cold {
      for keys in lists + lists {
        _ = try fetcher.fetch(keys: keys, count: keys.count, slots: slots, rows: rows.base)
      }
    }
    if countsAllocations {
      let count = try countingAllocations {
        for keys in lists {
          _ = try fetcher.fetch(keys: keys, count: keys.count, slots: slots, rows: rows.base)
        }
      }
      return print("\(count)")
    }
    var fetched = 0
    let begin = ContinuousClock.now
    for keys in lists {
      fetched += try fetcher.fetch(keys: keys, count: keys.count, slots: slots, rows: rows.base)
    }
    let seconds = (ContinuousClock.now - begin) / .seconds(1)
    Report(count: lists.reduce(0) { $0 + $1.count }, bytes: fetched * 4096, seconds: seconds).print()
  }
}

/// Commits and compactions as training makes them: a compaction after every few commits, and some of the next ones while it
/// runs. Its bytes are those of the file afterwards.
struct Cycles: ParsableCommand {
  @OptionGroup var model: ModelArguments
  @Option(help: "Compactions.") var compactions = 20
  @Option(help: "Commits from one compaction to the next.") var commits = 6
  @Option(help: "Rows changed by a commit.") var count = 16_384
  @Option(help: "Bytes of the dense record.") var dense = 2 << 20
  @Option(help: "Seed of the choice.") var seed: UInt64 = 3

  func run() throws {
    let store = try ModelStore.openForTraining(at: model.path)
    let record = AlignedBuffer<UInt8>(count: dense)
    let start = ContinuousClock.now
    var made = 0
    func commit() throws {
      made += 1
      let keys = randomKeys(count, of: model.rows, seed: seed &+ UInt64(made))
      try Changes(store.layout, keys: keys).commit(to: store, dense: record.rawBytes)
    }
    for _ in 0..<compactions {
      repeat { try commit() } while made % commits != 0
      let compaction = try store.makeCompaction(maximumBlocks: 50_000)
      var steps = 0
      while let compaction, try !compaction.step() {
        steps += 1
        if steps % 4 == 0, made % commits != commits / 2 { try commit() }
      }
    }
    let file = try File(reading: "\(model.path)/\(ModelStore.dataFile)")
    Report(
      count: compactions, bytes: try file.size(), seconds: (ContinuousClock.now - start) / .seconds(1)
    ).print()
  }
}
