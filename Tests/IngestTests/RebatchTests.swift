import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

@Suite struct RebatchTests {
  /// Bags, tables that columns share, and weights.
  static let schema = """
    columns:
      - { name: y, type: label }
      - { name: x, type: dense }
      - { name: city, type: categorical, table: place }
      - { name: home, type: categorical, table: place }
      - { name: tags, type: categorical, separator: "|" }
      - { name: trips, type: categorical, separator: "|", table: place }
      - { name: w, type: weight }
    """

  static func log(lines: Int, seed: UInt64) -> String {
    let random = CounterRandom(seed: seed, stream: 78)
    let rows = (0..<lines).map { line -> String in
      let random = CounterRandom(random, UInt64(line))
      func value(_ counter: UInt64) -> String {
        let unit = random.uniform(counter)
        return "v\(Int(unit * unit * 60))"
      }
      func values(_ counter: UInt64) -> String {
        (0..<random.below(5, counter)).map { value(counter + 1 + $0) }.joined(separator: "|")
      }
      let home = random.below(4, 9) == 0 ? "" : value(10)
      return
        "\(random.below(2, 0)),\(random.below(9, 1)),\(value(2)),\(home),\(values(20)),\(values(30)),\(1 + random.below(3, 3))"
    }
    return "y,x,city,home,tags,trips,w\n" + rows.joined(separator: "\n") + "\n"
  }

  /// Makes datasets of one log, which has 700 samples in three splits.
  struct Workplace {
    let directory: URL
    var options: PreprocessOptions

    func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    func preprocess(_ name: String, batchSize: Int) throws {
      var options = options
      options.output = path(name)
      options.batchSize = batchSize
      _ = try Ingest.preprocess(options)
    }

    @discardableResult
    func rebatch(
      _ name: String, as output: String, batchSize: Int, _ change: (inout RebatchOptions) -> Void = { _ in }
    ) throws -> Dataset {
      var options = RebatchOptions(dataset: path(name), output: path(output), batchSize: batchSize)
      options.segmentBytes = 4000
      change(&options)
      let report = try Ingest.rebatch(options)
      let dataset = try Dataset(opening: path(output))
      #expect(report.manifest == dataset.manifest)
      return dataset
    }

    func files(_ name: String) throws -> [String: Data] {
      let names = try FileManager.default.contentsOfDirectory(atPath: path(name))
      return try Dictionary(
        uniqueKeysWithValues: names.map {
          ($0, try Data(contentsOf: URL(fileURLWithPath: path(name) + "/" + $0)))
        })
    }
  }

  enum Kind: String, CaseIterable { case criteo, bags }

  func with(_ kind: Kind, _ body: (Workplace) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let text =
        kind == .bags ? Self.log(lines: 700, seed: 4) : randomLog(lines: 700, seed: 4).joined(separator: "\n")
      var options = PreprocessOptions(inputs: [try directory.file("log", text)], output: "")
      if kind == .bags {
        options.schema = try SchemaReader.parse(Self.schema, path: "schema")
      } else {
        options.densePrecision = .fp16
      }
      options.validShare = 0.1
      options.segmentBytes = 4000
      try body(Workplace(directory: directory, options: options))
    }
  }

  /// Without a shuffle, every byte is as if the log had been preprocessed with that batch size: next uses and first touches,
  /// identities, vocabulary, schema and all.
  @Test(arguments: Kind.allCases)
  func otherBatchesAreThoseOfPreprocessing(kind: Kind) throws {
    try with(kind) { work in
      for size in [1, 24, 64, 100, 5000] { try work.preprocess("made-\(size)", batchSize: size) }
      for (old, new) in [(64, 24), (24, 100), (100, 100), (64, 1), (1, 64), (64, 5000), (5000, 64)] {
        let name = "from-\(old)-to-\(new)"
        try work.rebatch("made-\(old)", as: name, batchSize: new)
        #expect(try work.files(name) == work.files("made-\(new)"), "\(name)")
      }
    }
  }

  /// A dataset that was written from rows has no vocabulary; its samples go the same way.
  @Test func aDatasetWithoutAVocabulary() throws {
    try withTemporaryDirectory { directory in
      let tables = [TableLayout(name: "a", rows: 50)]
      func write(_ name: String, _ size: Int) throws {
        let writer = try DatasetWriter(
          to: PendingOutput(directory.path + "/" + name), tables: tables, denseCount: 0, batchSize: size)
        for first in stride(from: 0, to: 90, by: size) {
          let samples = SampleBatch(tableCount: 1, denseCount: 0, capacity: size)
          samples.sampleCount = min(size, 90 - first)
          for sample in 0..<samples.sampleCount { samples.rows[sample] = UInt32((first + sample) * 7 % 50) }
          try writer.append(samples, to: .train)
        }
        _ = try writer.finish()
      }
      try write("ten", 10)
      try write("seven", 7)
      let work = Workplace(directory: directory, options: PreprocessOptions(inputs: [], output: ""))
      try work.rebatch("ten", as: "again", batchSize: 7) {
        $0.segmentBytes = DatasetWriter.defaultSegmentBytes
      }
      #expect(try work.files("again") == work.files("seven"))
      let untimed = #expect(throws: ChanterError.self) {
        try work.rebatch("ten", as: "timed", batchSize: 7) { $0.ordersByTime = true }
      }
      #expect(untimed?.kind == .badInput && untimed?.message.contains("type: time") == true)
      let error = #expect(throws: ChanterError.self) {
        try work.rebatch("ten", as: "numbered", batchSize: 7) { $0.renumbers = true }
      }
      #expect(error?.kind == .badInput && error?.message.contains("--renumber") == true)
    }
  }

  /// Sorted by the keys, all at once in memory; the other splits stay in order.
  @Test(arguments: Kind.allCases)
  func aShuffleIsTheOrderOfItsKeys(kind: Kind) throws {
    try with(kind) { work in
      try work.preprocess("data", batchSize: 64)
      let source = try Dataset(opening: work.path("data"))
      let shuffled = try work.rebatch("data", as: "shuffled", batchSize: 40) { $0.shuffleSeed = 9 }
      let random = CounterRandom(seed: 9, stream: 12)
      let samples = try rawSamples(source, .train)
      let order = samples.indices.sorted { random.bits(UInt64($0)) < random.bits(UInt64($1)) }
      #expect(order != Array(samples.indices))
      #expect(try rawSamples(shuffled, .train) == order.map { samples[$0] })
      for split in [Split.valid, .holdout] {
        #expect(try rawSamples(shuffled, split) == rawSamples(source, split))
      }
      #expect(shuffled.manifest.vocabularyIdentity == source.manifest.vocabularyIdentity)
      #expect(shuffled.manifest.batchingIdentity != source.manifest.batchingIdentity)
      #expect(try work.files("shuffled")["vocabulary.values"] == work.files("data")["vocabulary.values"])
      let other = try work.rebatch("data", as: "other", batchSize: 40) { $0.shuffleSeed = 10 }
      #expect(try rawSamples(other, .train) != rawSamples(shuffled, .train))
      try expectHints(shuffled)
    }
  }

  /// With new numbers, every byte is as if the log had been preprocessed in the new order; however few rows are counted at once.
  @Test(arguments: Kind.allCases)
  func newNumbersAreThoseOfPreprocessing(kind: Kind) throws {
    try with(kind) { work in
      var work = work
      work.options.minimumCount = 2
      try work.preprocess("data", batchSize: 64)
      let training = try Dataset(opening: work.path("data")).manifest.train.samples
      var lines = try String(contentsOfFile: work.options.inputs[0], encoding: .utf8).split(separator: "\n")
      let header = kind == .bags ? [lines.removeFirst()] : []
      let random = CounterRandom(seed: 9, stream: 12)
      let order = (0..<training).sorted { random.bits(UInt64($0)) < random.bits(UInt64($1)) }
      let mixed = header + order.map { lines[$0] } + lines[training...]
      work.options.inputs = [try work.directory.file("mixed", mixed.joined(separator: "\n") + "\n")]
      try work.preprocess("made", batchSize: 40)
      let expected = try work.files("made")
      #expect(try work.files("data")["vocabulary.values"] != expected["vocabulary.values"])
      for bytes in [nil, 1000] {
        let name = "new-\(bytes ?? 0)"
        try work.rebatch("data", as: name, batchSize: 40) {
          $0.shuffleSeed = 9
          $0.renumbers = true
          $0.renumberBytes = bytes
        }
        #expect(try work.files(name) == expected, "\(name)")
      }
      // In the same order nothing changes.
      try work.rebatch("made", as: "same", batchSize: 40) { $0.renumbers = true }
      #expect(try work.files("same") == expected)
    }
  }

  /// Against preprocessing with the order by time, where time decides the parts as well. Many samples have the same time, and few
  /// of them fit in memory at once.
  @Test func anOrderByTimeIsThatOfPreprocessing() throws {
    try withTemporaryDirectory { directory in
      let random = CounterRandom(seed: 6, stream: 78)
      let lines = (0..<900).map { line -> String in
        let own = CounterRandom(random, UInt64(line))
        // Half of all at five times; the others far apart, some before 1970.
        let time = own.below(2, 0) == 0 ? Int64(own.below(5, 1)) : Int64(own.below(1 << 40, 1)) - 1 << 38
        return "\(own.below(2, 2)),\(time),v\(own.below(40, 3))"
      }
      let log = try directory.file("log", (["y,t,c"] + lines).joined(separator: "\n") + "\n")
      func options(_ order: String) throws -> PreprocessOptions {
        var options = PreprocessOptions(inputs: [log], output: "")
        options.schema = try SchemaReader.parse(
          """
          order: \(order)
          split: { valid_from: 200000000000, test_from: 500000000000 }
          columns:
            - { name: y, type: label }
            - { name: t, type: time }
            - { name: c, type: categorical }
          """, path: "schema")
        options.holdout = 0
        return options
      }
      let filed = Workplace(directory: directory, options: try options("file"))
      try filed.preprocess("data", batchSize: 64)
      try Workplace(directory: directory, options: options("time")).preprocess("made", batchSize: 50)
      let made = try Dataset(opening: filed.path("made"))
      #expect(made.manifest.hasTimes && Split.allCases.allSatisfy { made.manifest.split($0).samples > 50 })
      for bytes in [nil, 0, 20_000] {
        let name = "sorted-\(bytes ?? -1)"
        let sorted = try filed.rebatch("data", as: name, batchSize: 50) {
          $0.ordersByTime = true
          $0.renumbers = true
          $0.shuffleBytes = bytes
          $0.segmentBytes = DatasetWriter.defaultSegmentBytes
        }
        #expect(sorted.manifest.batchingIdentity == made.manifest.batchingIdentity)
        // All but the schema, which says what order it asks for.
        var (files, expected) = (try filed.files(name), try filed.files("made"))
        files["manifest.json"] = nil
        expected["manifest.json"] = nil
        #expect(files == expected)
      }
      // The memory for samples that are put in order is that of the batches, so neither begins before the other has ended.
      var ordering = RebatchOptions(dataset: filed.path("data"), output: filed.path("phases"), batchSize: 50)
      ordering.ordersByTime = true
      ordering.shuffleBytes = 0
      var phases: [RebatchProgress.Phase] = []
      _ = try rebatch(ordering, progress: { if phases.last != $0.phase { phases.append($0.phase) } })
      let ordered = try #require(phases.lastIndex(of: .shuffling))
      #expect(phases.count { $0 == .cutting } == 3)
      #expect(try #require(phases.firstIndex(of: .encoding)) > ordered)
      let both = #expect(throws: ChanterError.self) {
        try filed.rebatch("data", as: "both", batchSize: 50) {
          $0.ordersByTime = true
          $0.shuffleSeed = 1
        }
      }
      #expect(both?.message.contains("not both") == true)
    }
  }

  /// Next uses and first touches by looking at all batches.
  private func expectHints(_ dataset: Dataset) throws {
    for split in Split.allCases {
      let reader = try dataset.reader(split)
      let batches = try (0..<reader.batchCount).map { index in
        let batch = Batch(layout: reader.layout)
        try reader.read(index, into: batch)
        return batch
      }
      var uses: [RowKey: [Int]] = [:]
      for (index, batch) in batches.enumerated() {
        for place in 0..<batch.uniqueCount { uses[batch.keys[place], default: []].append(index) }
      }
      for (index, batch) in batches.enumerated() {
        for place in 0..<batch.uniqueCount {
          let all = try #require(uses[batch.keys[place]])
          let next = all.first { $0 > index } ?? all[0] + batches.count
          #expect(batch.nextUse[place] == NextUse.encode(distance: next - index))
          #expect(batch.firstTouch[place] == (all[0] == index ? 1 : 0))
        }
      }
    }
  }

  /// The smallest memory cuts the samples in two again and again.
  @Test(arguments: Kind.allCases)
  func neitherThreadsNorMemoryDecide(kind: Kind) throws {
    try with(kind) { work in
      try work.preprocess("data", batchSize: 64)
      try work.rebatch("data", as: "plain", batchSize: 30) {
        $0.shuffleSeed = 5
        $0.threads = 1
      }
      let expected = try work.files("plain")
      for (number, bytes) in [0, 30_000, 60_000, 3_000_000].enumerated() {
        try work.rebatch("data", as: "cut-\(number)", batchSize: 30) {
          $0.shuffleSeed = 5
          $0.threads = number + 1
          $0.shuffleBytes = bytes
          $0.memory = number == 2 ? 256 << 20 : nil
        }
        #expect(try work.files("cut-\(number)") == expected, "\(bytes)")
      }
    }
  }

  /// As many samples as fit are cut at once; every one arrives.
  @Test func manyParts() throws {
    try withTemporaryDirectory { directory in
      let count = 20_000
      let writer = try DatasetWriter(
        to: PendingOutput(directory.path + "/data"), tables: [TableLayout(name: "a", rows: UInt32(count))],
        denseCount: 0, batchSize: 1000)
      for first in stride(from: 0, to: count, by: 1000) {
        let samples = SampleBatch(tableCount: 1, denseCount: 0, capacity: 1000)
        samples.sampleCount = 1000
        for sample in 0..<1000 { samples.rows[sample] = UInt32(first + sample) }
        try writer.append(samples, to: .train)
      }
      _ = try writer.finish()
      var cut = 0
      var phases: [RebatchProgress.Phase] = []
      for bytes in [100_000, 700_000, 1 << 30] {
        var options = RebatchOptions(
          dataset: directory.path + "/data", output: "\(directory.path)/shuffled-\(bytes)", batchSize: 999)
        options.shuffleSeed = 1
        options.shuffleBytes = bytes
        _ = try rebatch(
          options,
          progress: { progress in
            #expect(progress.done <= progress.total)
            if phases.last != progress.phase { phases.append(progress.phase) }
          })
        cut += phases.contains(.cutting) ? 1 : 0
        if bytes == 1 << 30 { #expect(phases == [.shuffling, .encoding, .nextUses, .writing]) }
        phases = []
        let found = try storedSamples(Dataset(opening: options.output), .train).samples.map {
          Int($0.rows[0])
        }
        let random = CounterRandom(seed: 1, stream: 12)
        #expect(found == (0..<count).sorted { random.bits(UInt64($0)) < random.bits(UInt64($1)) })
      }
      #expect(cut == 2)
    }
  }

  @Test func whatGoesWrongLeavesNothing() throws {
    try with(.criteo) { work in
      try work.preprocess("data", batchSize: 64)
      let before = try work.files("data")
      func failure(_ change: (inout RebatchOptions) -> Void = { _ in }) -> ChanterError? {
        #expect(throws: ChanterError.self) { try work.rebatch("data", as: "new", batchSize: 32, change) }
      }
      func expectNothing() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: work.directory.path)
        #expect(names.sorted() == ["data", "log"])
      }
      #expect(failure { $0.output = work.path("data") }?.kind == .exists)
      #expect(failure { $0.dataset = work.path("nothing") }?.kind == .badInput)
      #expect(failure { $0.batchSize = 65_537 }?.kind == .badInput)
      let budget = failure { $0.memory = 1 << 20 }
      #expect(budget?.kind == .budget && budget?.message.contains("MiB is needed") == true)
      try expectNothing()
      #expect(try work.files("data") == before)
      for (name, offset) in [("train-00000.batches", 900), ("vocabulary.values", 300)] {
        let url = URL(fileURLWithPath: work.path("data") + "/" + name)
        var bytes = try #require(before[name])
        bytes[offset] ^= 4
        try bytes.write(to: url)
        for seed: UInt64? in [nil, 3] {
          let error = failure { $0.shuffleSeed = seed }
          #expect(error?.kind == .corrupt && error?.path == url.path, "\(name): \(String(describing: error))")
        }
        try before[name]?.write(to: url)
        try expectNothing()
      }
    }
  }

  /// The least memory that an error names is enough, and gives the same bytes.
  @Test func theLeastMemoryIsEnough() throws {
    try with(.criteo) { work in
      try work.preprocess("data", batchSize: 64)
      let expected = try work.rebatch("data", as: "free", batchSize: 32) { $0.shuffleSeed = 1 }
      let error = #expect(throws: ChanterError.self) {
        try work.rebatch("data", as: "small", batchSize: 32) {
          $0.shuffleSeed = 1
          $0.memory = 1
        }
      }
      let least = try #require(error?.message.firstMatch(of: /at least (\d+)MiB/).flatMap { Int($0.1) })
      let made = try work.rebatch("data", as: "small", batchSize: 32) {
        $0.shuffleSeed = 1
        $0.memory = least << 20
      }
      #expect(made.manifest == expected.manifest)
      #expect(throws: ChanterError.self) {
        try work.rebatch("data", as: "smaller", batchSize: 32) {
          $0.shuffleSeed = 1
          $0.memory = (least - 1) << 20
        }
      }
    }
  }
}
