import Foundation

/// A schema as YAML, with what was seen of each column.
struct SchemaText {
  private let format: TableFormat
  private let profiles: [ColumnProfile]
  private let lines: Int
  private let label: Int?

  init(_ format: TableFormat, _ profiles: [ColumnProfile], lines: Int) {
    self.format = format
    self.profiles = profiles
    self.lines = lines
    label = Self.label(format.names, profiles)
  }

  private static let timeNames = ["timestamp", "datetime", "date", "time", "hour"]
  private static let labelNames = [
    "label", "click", "clicked", "is_click", "target", "y", "class", "rating", "income",
  ]

  /// A column of that name, or else the first one with two values: of the first column, the last one, and all others.
  private static func label(_ names: [String], _ profiles: [ColumnProfile]) -> Int? {
    if let named = names.firstIndex(where: { labelNames.contains($0.lowercased()) }) { return named }
    let order = [0, profiles.count - 1] + profiles.indices.dropFirst()
    return order.first { profiles[$0].missing == 0 && profiles[$0].few?.count == 2 }
  }

  var yaml: String {
    var text = """
      # A first schema, from \(lines) lines: look at every column. The keys are explained by `chanter schema --help`.
      separator: \(Self.name(format.separator))
      header: \(format.hasHeader)
      quotes: \(format.quotes)
      trim: \(format.trims)

      """
    let markers = ColumnProfile.usualMarkers.indices.filter { marker in
      profiles.contains { $0.markers[marker] > 0 }
    }
    if !markers.isEmpty {
      let names = markers.map { Self.quoted(ColumnProfile.usualMarkers[$0]) }.joined(separator: ", ")
      text += "# What stands for no value, beside an empty field.\nmissing: [\(names)]\n"
    }
    if label == nil {
      text +=
        "# No column looks like a label: give one `type: label`, with `positive` values or a `threshold`.\n"
    }
    text += "\ncolumns:\n"
    var hasTime = false
    for (column, name) in format.names.enumerated() {
      text += "  # \(seen(profiles[column]))\n  - name: \(Self.plain(name))\n"
      let keys = guess(column, hasTime: hasTime)
      hasTime = hasTime || keys.first == "type: time"
      for line in keys { text += "    \(line)\n" }
    }
    return text
  }

  /// What was seen of a column, in one line.
  private func seen(_ profile: ColumnProfile) -> String {
    var parts: [String] = []
    func range() -> String { "\(Self.number(profile.least)) to \(Self.number(profile.most))" }
    switch profile.present {
    case 0: parts.append("no value")
    case profile.integers: parts.append("integers, \(range())")
    case profile.numbers: parts.append("numbers, \(range())")
    case profile.dates: parts.append("dates")
    default:
      parts.append(profile.numbers > 0 ? "text, \(profile.numbers) of them numbers" : "text")
    }
    parts.append("\(profile.isEstimate ? "about " : "")\(profile.distinct) distinct")
    let share = Double(profile.missing) / Double(max(1, profile.count))
    parts.append(profile.missing == 0 ? "none missing" : String(format: "%.2f%% missing", 100 * share))
    if !profile.examples.isEmpty {
      parts.append("such as " + profile.examples.map { Self.oneLine($0) }.joined(separator: ", "))
    }
    return parts.joined(separator: "; ")
  }

  /// The keys below the name.
  private func guess(_ column: Int, hasTime: Bool) -> [String] {
    let profile = profiles[column]
    let name = format.names[column].lowercased()
    if column == label { return ["type: label"] + labelKeys(profile) }
    if profile.present == 0 { return ["type: ignore          # it has no value"] }
    let isNumber = profile.numbers == profile.present
    let isInteger = profile.integers == profile.present
    if !hasTime, profile.missing == 0, profile.dates == profile.present {
      return ["type: time", "format: iso8601"]
    }
    if !hasTime, profile.missing == 0, isInteger, Self.timeNames.contains(where: { name.contains($0) }) {
      return ["type: time", "format: integer"]
    }
    let isUnique = profile.present > 100 && Double(profile.distinct) > 0.95 * Double(profile.present)
    if isUnique, !isNumber || isInteger && name.hasSuffix("id") {
      return ["type: ignore          # nearly every line has a value of its own"]
    }
    if profile.hexadecimal == profile.present, profile.hexadecimalLetters > 0 {
      return ["type: categorical", "values: hexadecimal"]
    }
    if isInteger, profile.distinct <= 50 || name.hasSuffix("id") {
      return ["type: categorical", "values: integer"]
    }
    if isNumber {
      let isSkewed = profile.least >= 0 && profile.most > 20 * max(1, profile.mean)
      return ["type: dense", "transform: \(isSkewed ? "log1p" : "standardise")"]
    }
    for (number, separator) in ColumnProfile.bagSeparators.enumerated()
    where 10 * profile.separated[number] > profile.present {
      return ["type: categorical", "separator: \(Self.name(separator))"]
    }
    return ["type: categorical"]
  }

  private func labelKeys(_ profile: ColumnProfile) -> [String] {
    let values = (profile.few ?? []).map {
      (text: String(decoding: $0.value, as: UTF8.self), count: $0.count)
    }
    if Set(values.map(\.text)).isSubset(of: ["0", "1"]), profile.missing == 0, !values.isEmpty { return [] }
    if values.count == 2 {
      // Clicks and purchases are the rarer ones.
      let sorted = values.sorted { $0.count < $1.count }
      return [
        "positive: [\(Self.quoted(sorted[0].text))]      # the rarer value",
        "negative: [\(Self.quoted(sorted[1].text))]",
      ]
    }
    if profile.numbers == profile.present, profile.present > 0 {
      let middle = (profile.least + profile.most) / 2
      return ["threshold: \(Self.number(middle.rounded(.up)))          # positive from this value on"]
    }
    return ["positive: [\(profile.examples.first.map { Self.quoted($0) } ?? "")]      # say which values are"]
  }

  // MARK: - YAML

  private static func name(_ separator: UInt8) -> String {
    separator == 9 ? "tab" : quoted(String(UnicodeScalar(separator)))
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }

  /// As it is, if YAML takes it for text; the ranges of its own words are wide.
  private static func plain(_ text: String) -> String {
    let isPlain =
      text.utf8.allSatisfy { ($0 | 32) &- 97 < 26 || $0 &- 48 < 10 || $0 == 95 }
      && text.utf8.first.map { ($0 | 32) &- 97 < 26 } == true
      && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(text.lowercased())
    return isPlain ? text : quoted(text)
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      default:
        if isUnprintable(scalar) {
          let digits = String(scalar.value, radix: 16)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }

  /// For a comment.
  private static func oneLine(_ text: String) -> String {
    String(text.unicodeScalars.map { isUnprintable($0) ? "·" : Character($0) })
  }

  /// Controls, the line ends of YAML 1.1, and what YAML refuses.
  private static func isUnprintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<32, 127..<160, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF: true
    default: false
    }
  }
}
