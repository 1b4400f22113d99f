import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Where the values of one line go.
struct LineTarget {
  var label: UnsafeMutablePointer<Float>
  /// 13 values one after another.
  var dense: UnsafeMutablePointer<Float>
  /// Start of the first categorical value in the text, and its length; those of the next lie `stride` further on.
  var starts: UnsafeMutablePointer<UInt32>
  var lengths: UnsafeMutablePointer<UInt16>
  var stride: Int
}

/// Parses lines strictly.
struct CriteoParser: BlockParser {
  let layout = CriteoLayout.layout
  /// Whether the label may be absent: then the first line decides for all.
  private let labelIsOptional: Bool
  private var fieldCount = CriteoLayout.fieldCount
  /// Whether the first line has a possible number of fields.
  private var firstLineDecides = false
  private let smallDenseValues = CriteoLayout.smallDenseValues

  init(labelIsOptional: Bool) { self.labelIsOptional = labelIsOptional }

  /// There is no header; the first line tells whether there are labels.
  mutating func begin(_ block: TextBlock, path: String) {
    guard labelIsOptional else { return }
    let text = block.text.base
    let end = memchr(text, 10, block.count).map { text.distance(to: $0.assumingMemoryBound(to: UInt8.self)) }
    let count = countFields(text, 0, end ?? block.count)
    firstLineDecides = [CriteoLayout.fieldCount, CriteoLayout.fieldCount - 1].contains(count)
    fieldCount = firstLineDecides ? count : CriteoLayout.fieldCount
  }

  func parse(_ block: TextBlock) {
    let text = block.text.base
    let samples = block.samples
    let capacity = samples.capacity
    block.problems.removeAll()
    var target = LineTarget(
      label: samples.labels.base, dense: samples.dense.base, starts: block.starts.base,
      lengths: block.lengths.base, stride: capacity)
    var position = 0
    var lines = 0
    var count = 0
    while position < block.count {
      let start = position
      var end = block.count
      position = end
      if let newline = memchr(text + start, 10, end - start) {
        end = text.distance(to: newline.assumingMemoryBound(to: UInt8.self))
        position = end + 1
      }
      if end > start, text[end - 1] == 13 { end -= 1 }
      precondition(count < capacity, "a block has more lines than its layout says")
      if end - start <= LineReader.maximumLineBytes, parse(text, start, end, into: target) {
        target.label += 1
        target.dense += CriteoLayout.integerCount
        target.starts += 1
        target.lengths += 1
        count += 1
      } else {
        let (reason, message) = explain(text, start, end)
        block.problems.add(reason, line: lines, message)
      }
      lines += 1
    }
    block.lines = lines
    samples.sampleCount = count
    block.finish()
  }

  /// Parses the line `text[start ..< end]`; false if anything is wrong with it.
  @inline(__always)
  private func parse(_ text: UnsafePointer<UInt8>, _ start: Int, _ end: Int, into target: LineTarget) -> Bool
  {
    var position = start
    target.label.pointee = 0
    if fieldCount == CriteoLayout.fieldCount {
      guard end - start >= 2, text[start] &- 48 < 2, text[start + 1] == 9 else { return false }
      target.label.pointee = Float(text[start] &- 48)
      position += 2
    }
    let small = smallDenseValues.base
    let smallCount = UInt64(smallDenseValues.count)
    for column in 0..<CriteoLayout.integerCount {
      guard let (magnitude, isNegative) = Self.integer(text, &position, end) else { return false }
      guard position < end, text[position] == 9 else { return false }
      position += 1
      target.dense[column] =
        isNegative
        ? 0 : magnitude < smallCount ? small[Int(magnitude)] : CriteoLayout.denseValue(Int64(magnitude))
    }
    for column in 0..<CriteoLayout.categoryCount {
      let first = position
      // Eight digits, the usual value, at once.
      if end - position >= 8,
        Self.areHexadecimal((UnsafeRawPointer(text) + position).loadUnaligned(as: UInt64.self))
      {
        position += 8
      }
      while position < end, Self.isHexadecimal(text[position]) { position += 1 }
      let isLast = column == CriteoLayout.categoryCount - 1
      guard position - first <= CriteoLayout.maximumDigits,
        isLast ? position == end : position < end && text[position] == 9
      else { return false }
      target.starts[column &* target.stride] = UInt32(truncatingIfNeeded: first)
      target.lengths[column &* target.stride] = UInt16(truncatingIfNeeded: position &- first)
      position += 1
    }
    return true
  }

  /// The integer at `position`, which moves behind it; 0 for nothing (an empty integer and 0 are the same to a model),
  /// nil if it does not fit 64 bits.
  @inline(__always)
  private static func integer(
    _ text: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int
  ) -> (magnitude: UInt64, isNegative: Bool)? {
    var isNegative = false
    if position < end, text[position] == 45 {
      isNegative = true
      position += 1
    }
    let first = position
    var magnitude: UInt64 = 0
    // 19 digits are the most that 64 bits hold; they cannot wrap the unsigned sum.
    let limit = min(end, first + 19)
    while position < limit {
      let digit = text[position] &- 48
      if digit >= 10 { break }
      magnitude = magnitude &* 10 &+ UInt64(digit)
      position += 1
    }
    if isNegative { return position > first && magnitude <= 1 << 63 ? (magnitude, true) : nil }
    return magnitude < 1 << 63 ? (magnitude, false) : nil
  }

  @inline(__always)
  private static func isHexadecimal(_ byte: UInt8) -> Bool { byte &- 48 < 10 || (byte | 32) &- 97 < 6 }

  /// `isHexadecimal` of eight bytes: each sum has its top bit set where a byte is at least the bound.
  @inline(__always)
  private static func areHexadecimal(_ bytes: UInt64) -> Bool {
    let each: UInt64 = 0x0101_0101_0101_0101
    let top = 0x80 &* each
    let lower = bytes | 0x20 &* each
    let digits = (bytes &+ 0x50 &* each) & ~(bytes &+ 0x46 &* each)
    let letters = (lower &+ 0x1F &* each) & ~(lower &+ 0x19 &* each)
    return bytes & top == 0 && (digits | letters) & top == top
  }
}

// MARK: - What is wrong with a line, found out slowly

extension CriteoParser {
  private var expected: String {
    if !labelIsOptional { return "40 (label, 13 integers, 26 hexadecimal values, tab separated)" }
    return firstLineDecides ? "\(fieldCount) as in the first line" : "40, or 39 without the label"
  }

  private func countFields(_ text: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
    UnsafeBufferPointer(start: text + start, count: end - start).reduce(1) { $1 == 9 ? $0 + 1 : $0 }
  }

  /// The first thing that is wrong with a line that `parse` refused.
  private func explain(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ end: Int
  ) -> (reason: LineReason, message: String) {
    guard end - start <= LineReader.maximumLineBytes else { return (.tooLong, LineReader.tooLongMessage) }
    let count = countFields(text, start, end)
    guard count == fieldCount else {
      return (.fieldCount, "number of fields is \(count), expected \(expected)")
    }
    let line = UnsafeBufferPointer(start: text + start, count: end - start)
    let fields = line.split(separator: 9, omittingEmptySubsequences: false).map {
      UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: $0))
    }
    let firstInteger = fieldCount == CriteoLayout.fieldCount ? 1 : 0
    let firstCategory = firstInteger + CriteoLayout.integerCount
    for (number, field) in fields.enumerated() {
      if number < firstInteger {
        if field.count != 1 || field[0] &- 48 >= 2 {
          return (.label, "label is \(quoted(field)), expected 0 or 1")
        }
      } else if number < firstCategory {
        if !isInteger(field) {
          return (
            .integer,
            "integer \(number - firstInteger + 1) is \(quoted(field)), expected a 64-bit integer or nothing"
          )
        }
      } else if field.count > CriteoLayout.maximumDigits || !field.allSatisfy(Self.isHexadecimal) {
        return (
          .category,
          "category \(number - firstCategory + 1) is \(quoted(field)), expected 1 to 16 hexadecimal digits or nothing"
        )
      }
    }
    preconditionFailure("a line that was refused has nothing wrong with it")
  }

  private func isInteger(_ field: UnsafeRawBufferPointer) -> Bool {
    var position = 0
    let found = field.withMemoryRebound(to: UInt8.self) { bytes in
      bytes.baseAddress.map { Self.integer($0, &position, bytes.count) != nil } ?? true
    }
    return found && position == field.count
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
