import BatchStore
import Foundation
import Primitives

extension Schema {
  /// Criteo's logs, for which there is a parser of its own.
  public static let criteo: Schema = {
    var schema = Schema()
    schema.separator = UInt8(ascii: "\t")
    schema.hasHeader = false
    schema.quotes = false
    schema.columns = [SchemaColumn("label", .label(.binary))]
    schema.columns += (1...CriteoLayout.integerCount).map { SchemaColumn("I\($0)", .dense(.log1p)) }
    schema.columns += CriteoLayout.tableNames.map {
      SchemaColumn($0, .categorical(Categorical(table: $0, values: .hexadecimal)))
    }
    return schema
  }()

  var isCriteo: Bool { self == .criteo }

  /// The parser of inputs of this schema.
  /// - Parameters:
  ///   - predicts: whether the label may be absent, and what else only training needs.
  ///   - precision: what has to hold the numbers of dense columns. Logarithms of integers, as Criteo's are, fit any.
  func parser(predicts: Bool, precision: DensePrecision) throws -> any BlockParser {
    isCriteo
      ? CriteoParser(labelIsOptional: predicts)
      : try SchemaParser(self, predicts: predicts, precision: precision)
  }

  var layout: InputLayout { isCriteo ? CriteoLayout.layout : ownLayout }

  private var ownLayout: InputLayout {
    var tables: [String] = []
    var features: [FeatureLayout] = []
    var longestBags: Int? = 0
    func add(_ name: String, _ table: String, isBag: Bool) {
      if !tables.contains(table) { tables.append(table) }
      features.append(
        FeatureLayout(name: name, table: tables.firstIndex(of: table) ?? 0, isBag: isBag))
    }
    for column in columns {
      switch column.kind {
      case .categorical(let categorical):
        add(column.name, categorical.table, isBag: categorical.separator != nil)
        if categorical.separator != nil {
          longestBags = longestBags.flatMap { sum in categorical.maximumLength.map { sum + $0 } }
        }
      case .buckets(_, let table): add(column.name, table, isBag: false)
      default: break
      }
    }
    return InputLayout(
      tableNames: tables, features: features, denseNames: columns.filter(\.isDense).map(\.name),
      hasWeights: columns.contains { $0.kind == .weight }, hasTimes: timeColumn != nil,
      // A line is as many bytes as it has fields or more, and never empty. When predicting the label may be left out, and
      // with a header whatever is not learned from.
      leastLineBytes: max(2, hasHeader ? columns.count(where: \.isLearnedFrom) : columns.count - 1),
      maximumBagLength: longestBags)
  }

  /// This schema with the statistics that were found for `old`, or nil if samples of the two are not alike; splits may differ.
  func taking(statisticsOf old: Schema) -> Schema? {
    var result = self
    for (number, column) in old.columns.enumerated() where number < columns.count {
      switch (columns[number].kind, column.kind) {
      case (.dense(.standardise(nil)), .dense(.standardise)): result.columns[number].kind = column.kind
      case (.buckets(.quantiles(let count), let table), .buckets(.boundaries(let edges), let other))
      where edges.count < count && table == other:
        result.columns[number].kind = column.kind
      default: break
      }
    }
    var unsplit = result
    unsplit.split = old.split
    return unsplit == old ? result : nil
  }

  /// The time column, if there is one.
  var timeColumn: SchemaColumn? {
    columns.first { if case .time = $0.kind { true } else { false } }
  }

  /// Whether time or a column tells the part of a sample.
  public var namesParts: Bool { split != nil || splitsByColumn }

  private var splitsByColumn: Bool { columns.contains { if case .split = $0.kind { true } else { false } } }

  /// As a dataset keeps it.
  func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// The schema that a dataset or model keeps.
  /// - Parameter path: of the dataset or model, for errors.
  public init(json: String, path: String) throws {
    guard let schema = try? JSONDecoder().decode(Schema.self, from: Data(json.utf8)) else {
      throw ChanterError(.corrupt, "its schema cannot be read; restore it from a copy", path: path)
    }
    self = schema
    try validate { ChanterError(.corrupt, "its schema is damaged: \($1)", path: path) }
  }

  /// What no single key can tell.
  /// - Parameter error: makes the error about column number `column`, or about the whole if that is nil.
  func validate(_ error: (_ column: Int?, _ message: String) -> ChanterError) throws {
    func one(_ what: String, _ isSuch: (SchemaColumn.Kind) -> Bool) throws -> Bool {
      let such = columns.indices.filter { isSuch(columns[$0].kind) }
      if such.count > 1 { throw error(such[1], "there is a second \(what) column; one is all there can be") }
      return such.count == 1
    }
    guard try one("label", { if case .label = $0 { true } else { false } }) else {
      throw error(nil, "there is no label column; one needs `type: label`")
    }
    let hasTime = try one("time") { if case .time = $0 { true } else { false } }
    let hasSplit = try one("split") { if case .split = $0 { true } else { false } }
    _ = try one("weight") { $0 == .weight }
    if (ordersByTime || split != nil) && !hasTime {
      throw error(nil, "order and split by time need a column with `type: time`")
    }
    if split != nil && hasSplit {
      throw error(nil, "a time and a column cannot both split; leave one of them out")
    }
    if let split, let valid = split.validFrom, let test = split.testFrom, valid >= test {
      throw error(nil, "valid_from must lie before test_from")
    }
    guard columns.count <= SchemaReader.maximumColumns, SchemaReader.isSeparator(separator) else {
      throw error(nil, "its separator or the number of its columns is impossible")
    }
    if trims && separator == UInt8(ascii: " ") {
      throw error(nil, "a space cannot separate fields where `trim: true` leaves spaces out")
    }
    var names: Set<String> = []
    for (number, column) in columns.enumerated() {
      if !column.isPossible { throw error(number, "a number of the column \(column.name) is impossible") }
      if column.name.isEmpty { throw error(number, "the name is empty") }
      if !names.insert(column.name).inserted {
        throw error(number, "there is a second column \(column.name); give each a name of its own")
      }
    }
    let layout = ownLayout
    guard !layout.features.isEmpty || !layout.denseNames.isEmpty else {
      throw error(nil, "there is no column to learn from; some need `type: dense` or `type: categorical`")
    }
    for name in layout.tableNames where name.isEmpty || name.utf8.count > 255 {
      throw error(nil, "the table name `\(name)` is empty or longer than 255 bytes")
    }
  }
}

extension SchemaColumn {
  var isDense: Bool { if case .dense = kind { true } else { false } }

  /// Whether its numbers lie where a schema file may have them.
  fileprivate var isPossible: Bool {
    switch kind {
    case .label(.threshold(let threshold)): threshold.isFinite
    case .dense(.standardise(let moments?)):
      moments.mean.isFinite && moments.deviation.isFinite && moments.deviation >= 0
    case .buckets(.quantiles(let count), _): SchemaReader.bucketCounts.contains(count)
    case .buckets(.boundaries(let edges), _):
      // Quantiles of a column without values have none.
      edges.count < SchemaReader.bucketCounts.upperBound && edges.allSatisfy(\.isFinite)
        && zip(edges, edges.dropFirst()).allSatisfy { $0 < $1 }
    case .categorical(let categorical):
      categorical.separator.map(SchemaReader.isSeparator) ?? true
        && categorical.maximumLength.map(SchemaReader.bagLengths.contains) ?? true
    case .label, .dense, .time, .split, .weight, .ignored: true
    }
  }

  /// Whether a model sees it.
  var isLearnedFrom: Bool {
    switch kind {
    case .dense, .buckets, .categorical: true
    case .label, .time, .split, .weight, .ignored: false
    }
  }
}
