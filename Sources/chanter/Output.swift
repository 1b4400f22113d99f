import Foundation
import Primitives

/// One line of results. A standard output that takes no more ends the program with status 1, since nothing else is left
/// to do.
func printLine(_ text: String) {
  do {
    try Array((text + "\n").utf8).withUnsafeBytes { try writeFully($0, to: STDOUT_FILENO) }
  } catch {
    printError("Error: \(error)")
    exit(1)
  }
}

/// One line of progress or warnings; lost where standard error takes no more.
func printError(_ text: String) {
  try? Array((text + "\n").utf8).withUnsafeBytes { try writeFully($0, to: STDERR_FILENO) }
}

func writeFully(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) throws {
  var rest = bytes
  while !rest.isEmpty {
    let count = write(descriptor, rest.baseAddress, rest.count)
    if count < 0, errno == EINTR { continue }
    guard count > 0 else { throw File.failure("cannot write to", "standard output") }
    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
  }
}

/// One JSON object on one line, keys sorted; numbers that JSON cannot say are "nan", "inf" and "-inf".
func printJSON(_ value: some Encodable) throws {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  encoder.nonConformingFloatEncodingStrategy = .convertToString(
    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  encoder.keyEncodingStrategy = .convertToSnakeCase
  printLine(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Names and values in two aligned columns.
func printTable(_ rows: [(String, String)]) {
  let width = rows.map(\.0.count).max() ?? 0
  for (name, value) in rows {
    printLine(name + String(repeating: " ", count: width - name.count + 2) + value)
  }
}

/// Rows under a header, in columns that are aligned to the right but for the first `leading` and the last `trailing`.
func printColumns(_ header: [String], _ rows: [[String]], leading: Int = 1, trailing: Int = 0) {
  let widths = header.indices.map { column in
    ([header] + rows).map { $0[column].count }.max() ?? 0
  }
  func line(_ cells: [String]) -> String {
    let padded = cells.enumerated().map { column, cell in
      let space = String(repeating: " ", count: widths[column] - cell.count)
      return column < leading || column >= header.count - trailing ? cell + space : space + cell
    }
    let text = padded.joined(separator: "  ")
    return String(text.prefix(text.count - text.reversed().prefix { $0 == " " }.count))
  }
  printLine(emphasized(line(header)))
  for row in rows { printLine(line(row)) }
}

/// A heading: an empty line, then `text`.
func printHeading(_ text: String) { printLine("\n" + emphasized(text)) }

/// `text` in bold on a terminal, unless NO_COLOR is set (no-color.org).
private func emphasized(_ text: String) -> String {
  let isPlain =
    isatty(STDOUT_FILENO) == 0 || ProcessInfo.processInfo.environment["NO_COLOR"]?.isEmpty == false
  return isPlain ? text : "\u{1B}[1m\(text)\u{1B}[0m"
}

/// A share as `12.34%`.
func percent(_ share: Double, _ decimals: Int = 2) -> String { fixed(100 * share, decimals) + "%" }

/// `1234567` as `1,234,567`.
func grouped(_ value: Int) -> String {
  var result = ""
  for (index, digit) in String(value.magnitude).reversed().enumerated() {
    if index > 0, index % 3 == 0 { result.append(",") }
    result.append(digit)
  }
  return (value < 0 ? "-" : "") + String(result.reversed())
}

/// `value` with a fixed number of decimals, the same in every locale.
func fixed(_ value: Double, _ decimals: Int) -> String {
  String(format: "%.\(decimals)f", value)
}

/// Seconds as `3 s`, `2 min 5 s` or `1 h 12 min`.
func duration(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
  let whole = Int(seconds.rounded())
  if whole < 60 { return "\(whole) s" }
  if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
  return "\(whole / 3600) h \(whole / 60 % 60) min"
}
