import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// Orders and splits by time and by column, and quantiles, against the plain way.
@Suite struct ArrangementTests {
  static let columns = """
    columns:
      - { name: y, type: label }
      - { name: n, type: dense }
      - { name: t, type: time }
      - { name: c, type: categorical }
    """

  /// Line n has the number n; times are not in order, and repeat.
  static func lines(_ count: Int) -> [(time: Int, text: String)] {
    let random = CounterRandom(seed: 7, stream: 2)
    return (0..<count).map { number in
      let time = Int(random.below(UInt64(count) / 3, UInt64(number))) - 20
      return (time, "0,\(number),\(time),\"v, \(random.below(30, UInt64(1000 + number)))\"")
    }
  }

  /// The numbers of the samples of each part, and the schema that the dataset keeps.
  func parts(
    _ schema: String, _ text: String, change: (inout PreprocessOptions) -> Void = { _ in }
  ) throws -> (numbers: [[Int]], schema: Schema) {
    try withTemporaryDirectory { directory in
      var options = PreprocessOptions(
        inputs: [try directory.file("in.csv", text)], output: directory.path + "/data")
      options.schema = try SchemaReader.parse(schema, path: "schema")
      options.holdout = 0
      options.batchSize = 64
      change(&options)
      _ = try preprocess(options)
      let dataset = try Dataset(opening: options.output)
      #expect(!FileManager.default.fileExists(atPath: options.output + "/arranged.zst"))
      let numbers = try Split.allCases.map { try rawSamples(dataset, $0).map { Int($0.dense[0]) } }
      return (numbers, try Schema(json: #require(dataset.manifest.schema), path: ""))
    }
  }

  @Test(arguments: [1, 3])
  func samplesComeInTheOrderOfTime(threads: Int) throws {
    let lines = Self.lines(3000)
    let text = "y,n,t,c\n" + lines.map(\.text).joined(separator: "\n")
    let order = lines.indices.sorted {
      lines[$0].time != lines[$1].time ? lines[$0].time < lines[$1].time : $0 < $1
    }
    let found = try parts("order: time\n" + Self.columns, text) {
      $0.holdout = 0.1
      $0.validShare = 0.2
      $0.threads = threads
    }
    #expect(found.numbers == [Array(order[..<2100]), Array(order[2100..<2700]), Array(order[2700...])])
    let split = try parts("split: { valid_from: 500, test_from: 700 }\n" + Self.columns, text)
    func part(_ range: Range<Int>) -> [Int] { lines.indices.filter { range.contains(lines[$0].time) } }
    #expect(split.numbers == [part(-100..<500), part(500..<700), part(700..<3000)])
    let both = try parts("order: time\nsplit: { test_from: 700 }\n" + Self.columns, text)
    #expect(
      both.numbers == [order.filter { lines[$0].time < 700 }, [], order.filter { lines[$0].time >= 700 }])
  }

  /// The longest line goes through temporary files, and one more byte is too long.
  @Test func theLongestLineCanBeOrdered() throws {
    func line(_ bytes: Int) -> String { "0,1,5," + String(repeating: "v", count: bytes - 6) + "\n" }
    let text = "y,n,t,c\n" + line(LineReader.maximumLineBytes) + "0,0,4,b\n"
    #expect(try parts("order: time\n" + Self.columns, text).numbers == [[0, 1], [], []])
    let long = #expect(throws: ChanterError.self) {
      try parts("order: time\n" + Self.columns, text + line(LineReader.maximumLineBytes + 1))
    }
    #expect(long?.line == 4 && long?.message.contains("longer than") == true)
  }

  @Test func aColumnNamesThePart() throws {
    let schema = Self.columns + "\n  - { name: p, type: split, train: [a, b], valid: v, test: [z] }\n"
    let names = ["a", "b", "v", "z"]
    let lines = Self.lines(400)
    func name(_ number: Int) -> String { names[number * 7 % 4] }
    let text =
      "y,n,t,c,p\n" + lines.enumerated().map { "\($1.text),\(name($0))\n" }.joined()
    let found = try parts(schema, text)
    #expect(
      found.numbers
        == [["a", "b"], ["v"], ["z"]].map { part in lines.indices.filter { part.contains(name($0)) } })
    let error = #expect(throws: ChanterError.self) { try parts(schema, text + "0,1,2,x,q\n") }
    #expect(error?.line == 402 && error?.message.contains("column p is 'q', expected one of 'a'") == true)
    let shares = #expect(throws: ChanterError.self) { try parts(schema, text) { $0.holdout = 0.1 } }
    #expect(shares?.message.contains("splits by time or by a column") == true)
  }

  /// Runs of a line, 8,191 = 4,096 + 63 · 64 + 63: three levels, which are more runs than may be merged at once.
  @Test func runsAreMergedInOrder() throws {
    try withTemporaryDirectory { directory in
      let sorter = LineSorter(directory: directory.path, runBytes: 64)
      let random = CounterRandom(seed: 2, stream: 2)
      var keys: [LineKey] = []
      for number in 0..<8191 {
        let key = LineKey(
          part: Int(random.below(3, UInt64(3 * number))),
          time: Int64(random.below(50, UInt64(3 * number + 1))) - 25, sequence: number)
        keys.append(key)
        try Array("line \(number)".utf8).withUnsafeBytes { try sorter.add(key, $0) }
      }
      keys.sort()
      var position = 0
      try sorter.finish { key, line in
        #expect(key == keys[position] && line.elementsEqual("line \(key.sequence)".utf8))
        position += 1
      }
      #expect(position == keys.count)
    }
  }

  /// The samples that quantiles are found from are within the limit.
  @Test func memoryForQuantilesIsCounted() throws {
    func memory(_ buckets: String) throws -> PreprocessMemory {
      let columns = (0..<60).map { "  - { name: q\($0), type: dense, transform: bucketise, \(buckets) }\n" }
      var options = PreprocessOptions(inputs: ["in"], output: "out")
      options.schema = try SchemaReader.parse(Self.columns + "\n" + columns.joined(), path: "schema")
      options.threads = 1
      options.batchSize = 64
      options.memory = 1 << 30
      return try PreprocessMemory(options, options.schema.layout)
    }
    #expect(60 * QuantileSample.bytes > 1 << 30)
    #expect(try memory("boundaries: [1, 2, 3]").valueBytes > 0)
    let error = #expect(throws: ChanterError.self) { try memory("buckets: 4") }
    #expect(error?.kind == .budget)
  }

  @Test func quantilesAreThoseOfTheTrainingPart() throws {
    let schema = """
      columns:
        - { name: y, type: label }
        - { name: n, type: dense }
        - { name: q, type: dense, transform: bucketise, buckets: 4 }
        - { name: s, type: dense, transform: bucketise, buckets: 10 }
      """
    // Training: 0 to 799 in some order, and many equal values; held out: far larger ones.
    let text =
      "y,n,q,s\n"
      + (0..<1000).map { "0,\($0),\($0 < 800 ? $0 * 7 % 800 : 100_000),\($0 % 4 == 0 ? $0 : 5)\n" }.joined()
    let found = try parts(schema, text) { $0.holdout = 0.2 }
    #expect(found.numbers[0] == Array(0..<800))
    guard case .buckets(.boundaries(let quarters), _) = found.schema.columns[2].kind,
      case .buckets(.boundaries(let tenths), _) = found.schema.columns[3].kind
    else {
      Issue.record("no boundaries")
      return
    }
    #expect(quarters == [200, 400, 600])
    // Three quarters of the values are 5.
    #expect(tenths.first == 5 && tenths.count < 9 && tenths == tenths.sorted())
  }

  @Test func aSampleOfManyValuesIsSpreadEvenly() {
    var sample = QuantileSample()
    for number in 0..<600_000 {
      sample.add(Double(number), LineKey(part: 0, time: 0, sequence: number))
    }
    let boundaries = sample.boundaries(4, before: LineKey(part: 0, time: 0, sequence: 400_000))
    #expect(boundaries.count == 3)
    for (boundary, expected) in zip(boundaries, [100_000.0, 200_000, 300_000]) {
      #expect(abs(boundary - expected) < 4000)
    }
  }
}
