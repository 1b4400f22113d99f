import Primitives
import Yams

/// Reads one entry of `columns`.
struct ColumnReader {
  private let node: SchemaNode
  private let name: String

  init(_ node: SchemaNode, _ name: String) {
    self.node = node
    self.name = name
  }

  private enum ColumnType: String, CaseIterable {
    case label, dense, categorical, time, split, weight, ignore

    /// Beside name, type and missing.
    var keys: [String] {
      switch self {
      case .label: ["positive", "negative", "threshold"]
      case .dense: ["transform", "boundaries", "buckets", "table"]
      case .categorical: ["values", "table", "separator", "maximum_length"]
      case .time: ["format"]
      case .split: ["train", "valid", "test"]
      case .weight, .ignore: []
      }
    }
  }

  func read() throws -> SchemaColumn {
    guard let type = try node.choice("type", ColumnType.self) else {
      throw node.error(
        "type", "this key is missing; one of \(ColumnType.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    let missing = try node.texts("missing")
    let kind: SchemaColumn.Kind
    switch type {
    case .label: kind = .label(try label())
    case .dense: kind = try dense()
    case .categorical: kind = .categorical(try categorical())
    case .time: kind = .time(try node.choice("format", TimeFormat.self) ?? .integer)
    case .split: kind = .split(try parts())
    case .weight: kind = .weight
    case .ignore: kind = .ignored
    }
    try node.requireNothingElse(["name", "type", "missing"] + type.keys)
    return SchemaColumn(name, kind, missing: missing)
  }

  private func label() throws -> LabelRule {
    let positive = try node.texts("positive")
    let negative = try node.texts("negative")
    let threshold = try node.number("threshold")
    if let threshold {
      guard positive == nil, negative == nil else {
        throw node.error("threshold", "goes without positive and negative values")
      }
      return .threshold(threshold)
    }
    guard let positive else {
      if negative != nil { throw node.error("negative", "goes with positive values") }
      return .binary
    }
    guard !positive.isEmpty else { throw node.error("positive", "expected at least one value") }
    let both = Set(positive).intersection(negative ?? [])
    if !both.isEmpty { throw node.error("negative", "`\(both.sorted()[0])` is positive, too") }
    return .values(positive: positive, negative: negative ?? [])
  }

  private enum Transform: String, CaseIterable { case none, log1p, standardise, bucketise }

  private func dense() throws -> SchemaColumn.Kind {
    let transform = try node.choice("transform", Transform.self) ?? .none
    let boundaries = node.take("boundaries")
    let count = try node.integer("buckets", SchemaReader.bucketCounts)
    let table = try node.text("table")
    guard transform == .bucketise else {
      for (key, isThere) in [
        ("boundaries", boundaries != nil), ("buckets", count != nil), ("table", table != nil),
      ] where isThere { throw node.error(key, "goes with `transform: bucketise`") }
      switch transform {
      case .log1p: return .dense(.log1p)
      case .standardise: return .dense(.standardise(nil))
      default: return .dense(.none)
      }
    }
    guard (boundaries == nil) != (count == nil) else {
      throw node.error("transform", "bucketise takes either boundaries or a number of buckets (quantiles)")
    }
    if let count { return .buckets(.quantiles(count), table: table ?? name) }
    let edges = boundaries?.sequence?.map { $0.float ?? .nan } ?? []
    guard (1..<SchemaReader.bucketCounts.upperBound).contains(edges.count), edges.allSatisfy(\.isFinite),
      zip(edges, edges.dropFirst()).allSatisfy({ $0 < $1 })
    else { throw node.error("boundaries", "expected 1 to 999 ascending numbers, such as [18, 25, 65]") }
    return .buckets(.boundaries(edges), table: table ?? name)
  }

  private func categorical() throws -> Categorical {
    var result = Categorical(table: try node.text("table") ?? name)
    result.values = try node.choice("values", Categorical.Values.self) ?? .string
    result.separator = try node.separator("separator")
    result.maximumLength = try node.integer("maximum_length", SchemaReader.bagLengths)
    if result.maximumLength != nil, result.separator == nil {
      throw node.error("maximum_length", "goes with a separator, which makes a column multi-valued")
    }
    return result
  }

  private func parts() throws -> SplitValues {
    let values = SplitValues(
      train: try node.texts("train") ?? ["train"], valid: try node.texts("valid") ?? ["valid"],
      test: try node.texts("test") ?? ["test"])
    var seen: Set<String> = []
    for value in values.train + values.valid + values.test where !seen.insert(value).inserted {
      throw node.error("", "the value `\(value)` names two parts")
    }
    return values
  }
}
