import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The columns of Criteo's click logs: label, 13 integers, 26 hexadecimal values, tab separated, no header.
public enum CriteoLayout {
  public static let integerCount = 13
  public static let categoryCount = 26
  static let fieldCount = 1 + integerCount + categoryCount
  /// Most digits of a categorical value.
  static let maximumDigits = 16

  /// Names of the embedding tables: C1 to C26.
  public static let tableNames = (1...categoryCount).map { "C\($0)" }

  /// What a model sees of an integer: log(1 + max(x, 0)), and 0 for an empty one.
  public static func denseValue(_ integer: Int64?) -> Float {
    guard let integer, integer > 0 else { return 0 }
    return Float(log1p(Double(integer)))
  }
}

/// One parsed line, reused from line to line.
final class CriteoLine {
  var label: Float = 0
  let dense = AlignedBuffer<Float>(count: CriteoLayout.integerCount)
  /// Where each categorical value starts in the line, and its length; 0 is empty.
  let starts = AlignedBuffer<Int>(count: CriteoLayout.categoryCount)
  let lengths = AlignedBuffer<Int>(count: CriteoLayout.categoryCount)
}

/// Parses lines of one file strictly. What is wrong with a line is told with path, line and column.
struct CriteoParser {
  /// Whether the label may be absent: then the first line decides for all.
  private let labelIsOptional: Bool
  private var fieldCount: Int
  private var isFirst = true

  init(labelIsOptional: Bool) {
    self.labelIsOptional = labelIsOptional
    fieldCount = CriteoLayout.fieldCount
  }

  /// Fills `target` from `line`; `place` says where an error lies.
  mutating func parse(_ line: UnsafeRawBufferPointer, into target: CriteoLine, at place: LineReader) throws {
    // One more than can be right, so that a line with too many is told from a full one.
    try withUnsafeTemporaryAllocation(of: Int.self, capacity: CriteoLayout.fieldCount + 1) { ends in
      let count = split(line, into: ends)
      if isFirst, labelIsOptional, count == CriteoLayout.fieldCount - 1 { fieldCount = count }
      guard count == fieldCount else {
        throw ChanterError(
          .badInput, "number of fields is \(countFields(line)), expected \(expected)", path: place.path,
          line: place.line)
      }
      isFirst = false
      try fill(target, line, ends, at: place)
    }
  }

  private var expected: String {
    if !labelIsOptional { return "40 (label, 13 integers, 26 hexadecimal values, tab separated)" }
    if isFirst { return "40, or 39 without the label" }
    return fieldCount == CriteoLayout.fieldCount ? "40 as in the first line" : "39 as in the first line"
  }

  private func countFields(_ line: UnsafeRawBufferPointer) -> Int {
    line.reduce(1) { $1 == 9 ? $0 + 1 : $0 }
  }

  /// Writes where each field ends; gives up at one field more than there can be.
  private func split(_ line: UnsafeRawBufferPointer, into ends: UnsafeMutableBufferPointer<Int>) -> Int {
    let limit = ends.count
    var count = 0
    for position in 0..<line.count where line[position] == 9 {
      if count == limit - 1 { return limit }
      ends[count] = position
      count += 1
    }
    ends[count] = line.count
    return count + 1
  }

  private func fill(
    _ target: CriteoLine, _ line: UnsafeRawBufferPointer, _ ends: UnsafeMutableBufferPointer<Int>,
    at place: LineReader
  ) throws {
    var field = 0
    var start = 0
    if fieldCount == CriteoLayout.fieldCount {
      guard ends[0] == 1, line[0] == 48 || line[0] == 49 else {
        throw error("label", line, 0, ends[0], "0 or 1", place)
      }
      target.label = line[0] == 49 ? 1 : 0
      field = 1
      start = 2
    } else {
      target.label = 0
    }
    let dense = target.dense.base
    for column in 0..<CriteoLayout.integerCount {
      let end = ends[field]
      guard let value = integer(line, start, end) else {
        throw error("integer \(column + 1)", line, start, end, "a 64-bit integer or nothing", place)
      }
      dense[column] = CriteoLayout.denseValue(value)
      field += 1
      start = end + 1
    }
    let starts = target.starts.base
    let lengths = target.lengths.base
    for column in 0..<CriteoLayout.categoryCount {
      let end = ends[field]
      guard end - start <= CriteoLayout.maximumDigits, isHexadecimal(line, start, end) else {
        throw error(
          "category \(column + 1)", line, start, end, "1 to 16 hexadecimal digits or nothing", place)
      }
      starts[column] = start
      lengths[column] = end - start
      field += 1
      start = end + 1
    }
  }

  /// The integer in a field, 0 for an empty one (an empty integer and 0 are the same to a model), nil for anything else.
  private func integer(_ line: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> Int64? {
    if start == end { return 0 }
    let isNegative = line[start] == 45
    var position = isNegative ? start + 1 : start
    // 19 digits are the most that 64 bits hold; one more cannot wrap the unsigned sum.
    guard position < end, end - position <= 19 else { return nil }
    var magnitude: UInt64 = 0
    while position < end {
      let digit = line[position] &- 48
      guard digit < 10 else { return nil }
      magnitude = magnitude &* 10 &+ UInt64(digit)
      position += 1
    }
    if isNegative { return magnitude <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil }
    return Int64(exactly: magnitude)
  }

  private func isHexadecimal(_ line: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> Bool {
    for position in start..<end {
      let byte = line[position]
      let isDigit = byte &- 48 < 10
      let isLetter = (byte | 32) &- 97 < 6
      if !isDigit && !isLetter { return false }
    }
    return true
  }

  private func error(
    _ column: String, _ line: UnsafeRawBufferPointer, _ start: Int, _ end: Int, _ expected: String,
    _ place: LineReader
  ) -> ChanterError {
    let text = quoted(UnsafeRawBufferPointer(rebasing: line[start..<end]))
    return ChanterError(
      .badInput, "\(column) is \(text), expected \(expected)", path: place.path, line: place.line)
  }
}

/// Bytes of a bad field as a message can show them: at most 40, what does not print as \xNN.
func quoted(_ bytes: UnsafeRawBufferPointer) -> String {
  if bytes.isEmpty { return "empty" }
  var text = "'"
  for byte in bytes.prefix(40) {
    if byte >= 32, byte < 127 {
      text.append(Character(Unicode.Scalar(byte)))
    } else {
      text += byte < 16 ? "\\x0" : "\\x"
      text += String(byte, radix: 16)
    }
  }
  return text + (bytes.count > 40 ? "…' (\(bytes.count) bytes)" : "'")
}
