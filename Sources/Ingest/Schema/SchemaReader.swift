import Foundation
import Primitives
import Yams

/// Reads schemas from YAML: every key known, every value checked, every error with its key and line.
public enum SchemaReader {
  static let topKeys = [
    "separator", "header", "quotes", "trim", "missing", "other_columns", "order", "split", "columns",
  ]
  static let maximumColumns = 4096
  /// Buckets of a column; boundaries are one fewer.
  static let bucketCounts = 2...1000
  /// Most values of a bag, where that is bounded.
  static let bagLengths = 1...1_000_000
  private static let maximumBytes = 16 << 20

  /// Whether a byte may lie between two fields or values: ASCII, and neither a quote nor a line end.
  static func isSeparator(_ byte: UInt8) -> Bool { byte < 0x80 && ![0, 10, 13, 34].contains(byte) }

  /// - Parameter name: a schema file, or the name of a preset.
  /// - Throws: `.badInput` with the line of what is wrong, `.io`.
  public static func read(_ name: String) throws -> Schema {
    // A folder with the log may well have the preset's name.
    if let preset = SchemaPreset.all.first(where: { $0.name == name }), File.regularStatus(name) == nil {
      return try parse(preset.text, path: "preset \(name)")
    }
    guard File.exists(name) else {
      let presets = SchemaPreset.all.map(\.name).joined(separator: ", ")
      throw ChanterError(
        .badInput, "there is no schema file of this name, and no such preset (\(presets))", path: name)
    }
    let file = try File(reading: name)
    let size = try file.size()
    guard size <= maximumBytes else {
      throw ChanterError(.badInput, "\(size) bytes are too many for a schema", path: name)
    }
    var data = Data(count: size)
    try data.withUnsafeMutableBytes { bytes in
      if let base = bytes.baseAddress { try file.read(at: 0, into: base, count: size) }
    }
    guard let text = String(data: data, encoding: .utf8) else {
      throw ChanterError(.badInput, "the schema is not UTF-8 text", path: name)
    }
    return try parse(text, path: name)
  }

  /// - Parameter path: what errors call the file.
  static func parse(_ text: String, path: String) throws -> Schema {
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw ChanterError(
        .badInput, "not YAML: \(error)".replacingOccurrences(of: "\n", with: " "), path: path)
    }
    guard let root else { throw ChanterError(.badInput, "the schema is empty", path: path) }
    return try schema(SchemaNode(root, path: path, place: ""))
  }

  private enum OtherColumns: String, CaseIterable { case refuse, ignore }
  private enum Order: String, CaseIterable { case file, time }

  private static func schema(_ node: SchemaNode) throws -> Schema {
    var schema = Schema()
    schema.separator = try node.separator("separator") ?? schema.separator
    schema.hasHeader = try node.flag("header") ?? schema.hasHeader
    schema.quotes = try node.flag("quotes") ?? schema.quotes
    schema.trims = try node.flag("trim") ?? schema.trims
    schema.missing = try node.texts("missing") ?? []
    schema.ignoresOtherColumns = try node.choice("other_columns", OtherColumns.self) == .ignore
    schema.ordersByTime = try node.choice("order", Order.self) == .time
    let splitNode = try node.take("split").map { try SchemaNode($0, path: node.path, place: "split") }
    guard let list = node.take("columns")?.sequence else {
      throw node.error("columns", "expected a list with one entry for each column")
    }
    try node.requireNothingElse(topKeys)
    guard (1...maximumColumns).contains(list.count) else {
      throw node.error("columns", "expected 1 to \(maximumColumns) columns")
    }
    var nodes: [SchemaNode] = []
    for (number, entry) in list.enumerated() {
      let unnamed = try SchemaNode(entry, path: node.path, place: "columns[\(number + 1)]")
      guard let name = try unnamed.text("name") else { throw unnamed.error("name", "this key is missing") }
      let column = try SchemaNode(entry, path: node.path, place: "columns.\(name)")
      _ = column.take("name")
      schema.columns.append(try ColumnReader(column, name).read())
      nodes.append(column)
    }
    if let splitNode { schema.split = try split(splitNode, of: schema) }
    try schema.validate { column, message in
      column.map { nodes[$0].error("", message) } ?? node.error("", message)
    }
    return schema
  }

  private static func split(_ node: SchemaNode, of schema: Schema) throws -> TimeSplit {
    guard let column = schema.timeColumn, case .time(let format) = column.kind else {
      throw node.error("", "a split by time needs a column with `type: time`")
    }
    func time(_ key: String) throws -> Int64? {
      guard var text = try node.text(key) else { return nil }
      let value = text.withUTF8 { bytes in
        bytes.baseAddress.flatMap {
          format == .integer ? FieldValues.integer($0, bytes.count) : FieldValues.iso8601($0, bytes.count)
        }
      }
      guard let value else {
        throw node.error(
          key, format == .integer ? "expected a 64-bit integer" : "expected an ISO 8601 date")
      }
      return value
    }
    let split = TimeSplit(validFrom: try time("valid_from"), testFrom: try time("test_from"))
    try node.requireNothingElse(["valid_from", "test_from"])
    guard split.validFrom != nil || split.testFrom != nil else {
      throw node.error("", "expected valid_from, test_from, or both")
    }
    return split
  }
}
