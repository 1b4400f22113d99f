import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

@Suite struct InferenceTests {
  func infer(_ text: String, _ change: (inout SchemaInference) -> Void = { _ in }) throws -> String {
    try withTemporaryDirectory { directory in
      var inference = SchemaInference()
      change(&inference)
      return try inference.run(try directory.file("in", text))
    }
  }

  @Test func everyColumnIsDescribedAndTheSchemaCanBeRead() throws {
    let random = CounterRandom(seed: 1, stream: 1)
    var text = "userId;when;price;clicked;genre tags;note;code;empty;level\n"
    for line in 0..<600 {
      let own = CounterRandom(random, UInt64(line))
      let tags = (0...own.below(3, 1)).map { "g\(own.below(9, 2 + $0))" }.joined(separator: "|")
      let code = String(0xABC0_0000 + own.below(99, 9), radix: 16)
      text +=
        "\(own.below(500, 8));2014-10-\(10 + own.below(20, 5)) 07:30;\(line % 9 == 0 ? "NA" : "\(own.uniform(6) * 100)");"
        + "\(own.below(10, 7) == 0 ? "yes" : "no");\(tags);text \(line), more;\(code);;\(own.below(5, 4))\n"
    }
    let yaml = try infer(text)
    let schema = try SchemaReader.parse(yaml, path: "inferred")
    #expect(schema.separator == UInt8(ascii: ";") && schema.hasHeader && schema.missing == ["NA"])
    let kinds = Dictionary(uniqueKeysWithValues: schema.columns.map { ($0.name, $0.kind) })
    #expect(kinds["clicked"] == .label(.values(positive: ["yes"], negative: ["no"])))
    #expect(kinds["userId"] == .categorical(Categorical(table: "userId", values: .integer)))
    #expect(kinds["when"] == .time(.iso8601) && kinds["price"] == .dense(.standardise(nil)))
    #expect(
      kinds["genre tags"] == .categorical(Categorical(table: "genre tags", separator: UInt8(ascii: "|"))))
    #expect(kinds["note"] == .ignored && kinds["empty"] == .ignored)
    #expect(kinds["code"] == .categorical(Categorical(table: "code", values: .hexadecimal)))
    #expect(kinds["level"] == .categorical(Categorical(table: "level", values: .integer)))
    #expect(yaml.contains("from 600 lines"))
    #expect(yaml.contains("11.17% missing"))
    #expect(yaml.contains("# integers, 0 to 4; 5 distinct; none missing; such as"))
    #expect(yaml.contains("about 6") && yaml.contains("text 0, more"))
  }

  @Test func formatsAreGuessedOrGiven() throws {
    let plain = try SchemaReader.parse(try infer("1\t3.5\ta\n0\t4.5\tb\n"), path: "")
    #expect(plain.separator == 9 && !plain.hasHeader && plain.columns.map(\.name) == ["c1", "c2", "c3"])
    #expect(plain.columns[0].kind == .label(.binary))
    let spaced = try infer("39, \"x, y\", <=50K\n20, z, >50K\n30, z, <=50K\n")
    let read = try SchemaReader.parse(spaced, path: "")
    #expect(
      read.trims && read.quotes
        && read.columns[2].kind == .label(.values(positive: [">50K"], negative: ["<=50K"])))
    #expect(try infer("a|b\nc|d\n") { $0.hasHeader = false }.contains("header: false"))
    #expect(try infer("a,b\n1,2\n3,4\n5,6\n") { $0.maximumLines = 2 }.contains("from 2 lines"))
    #expect(try infer("a,b|0\nc,d|1\n") { $0.separator = UInt8(ascii: "|") }.contains("separator: \"|\""))
  }

  /// Whatever the values are, comments end where they should, and names and labels come out whole.
  @Test func textThatYamlTakesForLineEndsIsEscaped() throws {
    let strange = "\u{2028}a\u{85}b\u{2029}c\u{1}\u{FEFF}\u{FFFF}"
    let text = "y,\(strange)\n" + (0..<30).map { "\(strange)\($0 % 2),\(strange) w\($0)\n" }.joined()
    let schema = try SchemaReader.parse(try infer(text) { $0.hasHeader = true }, path: "")
    #expect(schema.columns.map(\.name) == ["y", strange])
    guard case .label(.values(let positive, let negative)) = schema.columns[0].kind else {
      Issue.record("no label")
      return
    }
    #expect(Set(positive + negative) == ["\(strange)0", "\(strange)1"])
  }

  @Test func whatIsNoTableIsExplained() {
    func message(_ text: String) -> String {
      #expect(throws: ChanterError.self) { try infer(text) }?.description ?? ""
    }
    #expect(message("").contains("empty"))
    #expect(message("a,b\n").contains("no line below"))
    #expect(message("word\nother\n").contains("no separator"))
    // Among the lines that the format is guessed from, empty ones counted.
    let early = #expect(throws: ChanterError.self) {
      try infer("a,b\n\n1,2\n1,2,3\n1,2\n") { $0.separator = UInt8(ascii: ",") }
    }
    #expect(early?.line == 4)
    let long = String(repeating: "0,1\n", count: 300) + "0,1,2\n"
    #expect(message(long).contains("in:301: number of fields is 3, 2 in the first line"))
  }

  @Test func distinctValuesAreCountedWithinTheErrorOfTheSketch() {
    for count in [1, 300, 512, 513, 5000, 200_000] {
      var sketch = DistinctSketch()
      for number in 0..<count {
        for _ in 0..<2 { withUnsafeBytes(of: number) { sketch.add(Fingerprint.short($0)) } }
      }
      #expect(sketch.isEstimate == (count > 512))
      #expect(abs(Double(sketch.estimate - count)) <= (count > 512 ? 0.06 * Double(count) : 0))
    }
  }
}
