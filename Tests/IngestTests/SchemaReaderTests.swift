import Foundation
import Primitives
import TestSupport
import Testing

@testable import Ingest

/// Schema files: presets, and what is wrong with others, by key and line.
@Suite struct SchemaReaderTests {
  @Test func presetsAreTheFilesOfTheDataDirectory() throws {
    let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../data/schemas")
    let files = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    #expect(files == SchemaPreset.all.map { $0.name + ".yaml" }.sorted())
    for preset in SchemaPreset.all {
      let file = directory.appendingPathComponent(preset.name + ".yaml")
      #expect(try String(contentsOf: file, encoding: .utf8) == preset.text)
      #expect(preset.text.contains("Where to get it: http") && !preset.title.isEmpty)
      let schema = try SchemaReader.read(preset.name)
      #expect(schema.isCriteo == preset.name.hasPrefix("criteo"))
      #expect(try Schema(json: schema.json(), path: "") == schema)
    }
  }

  static let head = "columns:\n  - { name: y, type: label }\n"

  @Test(arguments: [
    ("", 0, "empty"),
    ("columns: [", 0, "not YAML"),
    ("a: 1\n\(head)", 1, "a: unknown key; the keys here are separator"),
    ("columns: 3", 1, "columns: expected a list"),
    ("separator: ab\n\(head)", 1, "separator: expected one character"),
    ("header: perhaps\n\(head)", 1, "header: expected true or false"),
    ("header: true\nheader: false\n\(head)", 0, "YAML"),
    (head, 1, "no column to learn from"),
    ("columns:\n  - { name: a, type: dense }", 1, "no label column"),
    ("columns:\n  - { type: dense }", 2, "columns[1].name: this key is missing"),
    ("\(head)  - { name: a }", 3, "columns.a.type: this key is missing"),
    ("\(head)  - { name: a, type: number }", 3, "columns.a.type: `number` is not one of label, dense"),
    (
      "\(head)  - name: a\n    type: dense\n    transform: log", 5,
      "columns.a.transform: `log` is not one of none"
    ),
    ("\(head)  - name: a\n    type: dense\n    values: string", 5, "columns.a.values: unknown key"),
    (
      "\(head)  - { name: a, type: dense, transform: bucketise }", 3,
      "either boundaries or a number of buckets"
    ),
    (
      "\(head)  - { name: a, type: dense, transform: bucketise, boundaries: [3, 2] }", 3,
      "boundaries: expected 1 to 999 ascending numbers"
    ),
    ("\(head)  - { name: a, type: dense, buckets: 4 }", 3, "columns.a.buckets: goes with"),
    ("\(head)  - { name: a, type: categorical, maximum_length: 4 }", 3, "goes with a separator"),
    ("\(head)  - { name: a, type: label }\n  - { name: b, type: dense }", 3, "second label column"),
    ("\(head)  - { name: a, type: dense }\n  - { name: a, type: dense }", 4, "second column a"),
    (
      "columns:\n  - { name: y, type: label, negative: [a] }\n  - { name: b, type: dense }", 2,
      "goes with positive"
    ),
    (
      "columns:\n  - { name: y, type: label, positive: [a], negative: [a] }\n  - { name: b, type: dense }", 2,
      "`a` is positive, too"
    ),
    ("separator: space\ntrim: true\n\(head)  - { name: a, type: dense }", 1, "a space cannot separate"),
    ("order: time\n\(head)  - { name: b, type: dense }", 1, "need a column with `type: time`"),
    (
      "split: { valid_from: 5, test_from: 5 }\n\(head)  - { name: b, type: dense }\n  - { name: t, type: time }",
      1,
      "valid_from must lie before test_from"
    ),
    (
      "split:\n  test_from: noon\n\(head)  - { name: b, type: dense }\n  - { name: t, type: time }", 2,
      "split.test_from: expected a 64-bit integer"
    ),
    (
      "\(head)  - { name: b, type: dense }\n  - { name: p, type: split, valid: train }", 4,
      "the value `train` names two parts"
    ),
  ])
  func errorsNameKeyAndLine(test: (text: String, line: Int, message: String)) throws {
    try withTemporaryDirectory { directory in
      let path = try directory.file("schema.yaml", test.text)
      let error = #expect(throws: ChanterError.self) { try SchemaReader.read(path) }
      #expect(error?.kind == .badInput && error?.path == path)
      #expect(error?.message.contains(test.message) == true, "\(error?.message ?? "")")
      if test.line > 0 { #expect(error?.line == test.line, "\(error?.description ?? "")") }
    }
  }

  /// What no schema file can say, a damaged dataset or model may.
  @Test(arguments: [
    ("\"separator\":44", "\"separator\":10"), ("\"_0\":[1,2]", "\"_0\":[2,1]"),
    ("\"maximumLength\":3", "\"maximumLength\":9223372036854775807"),
    ("\"maximumLength\":3", "\"maximumLength\":-1"),
    ("\"separator\":124", "\"separator\":200"), ("\"quantiles\":{\"_0\":4}", "\"quantiles\":{\"_0\":-4}"),
  ])
  func aDamagedSchemaIsRefused(change: (from: String, to: String)) throws {
    let schema = try SchemaReader.parse(
      Self.head + """
          - { name: a, type: dense, transform: bucketise, boundaries: [1, 2] }
          - { name: b, type: dense, transform: bucketise, buckets: 4 }
          - { name: c, type: categorical, separator: "|", maximum_length: 3 }
        """, path: "")
    let json = try schema.json()
    #expect(try Schema(json: json, path: "") == schema)
    let damaged = json.replacingOccurrences(of: change.from, with: change.to)
    #expect(damaged != json, "\(json)")
    let error = #expect(throws: ChanterError.self) { try Schema(json: damaged, path: "model") }
    #expect(error?.kind == .corrupt && error?.path == "model")
  }

  @Test func aMissingFileNamesThePresets() {
    let error = #expect(throws: ChanterError.self) { try SchemaReader.read("criteo") }
    #expect(error?.message.contains("criteo-kaggle, criteo-terabyte, avazu, adult") == true)
  }
}
