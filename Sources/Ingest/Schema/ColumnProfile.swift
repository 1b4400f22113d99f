import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// What was seen of one column; 4 KiB and a few values, however many lines there are.
struct ColumnProfile {
  /// What commonly stands for no value.
  static let usualMarkers = ["NA", "N/A", "null", "NULL", "?", "nan", "NaN", "None", "\\N", "-"]
  /// What commonly separates the values of one field.
  static let bagSeparators: [UInt8] = [UInt8(ascii: "|"), UInt8(ascii: ";")]
  private static let shownExamples = 3
  /// Values that may be all there are.
  private static let fewValues = 4

  private(set) var count = 0
  private(set) var empty = 0
  /// By `usualMarkers`.
  private(set) var markers = [Int](repeating: 0, count: usualMarkers.count)
  private(set) var integers = 0
  private(set) var numbers = 0
  private(set) var dates = 0
  /// Values of eight hexadecimal digits, and those of them with a letter.
  private(set) var hexadecimal = 0
  private(set) var hexadecimalLetters = 0
  private(set) var texts = 0
  /// By `bagSeparators`: values that have one inside.
  private(set) var separated = [Int](repeating: 0, count: bagSeparators.count)
  private(set) var least = Double.infinity
  private(set) var most = -Double.infinity
  private var sum = 0.0
  private(set) var examples: [String] = []
  /// The first few values and how often each occurs; nil once there were more.
  private(set) var few: [(value: [UInt8], count: Int)]? = []
  private var sketch = DistinctSketch()

  var missing: Int { empty + markers.reduce(0, +) }
  var present: Int { count - missing }
  var mean: Double { numbers > 0 ? sum / Double(numbers) : 0 }
  var distinct: Int { min(sketch.estimate, present) }
  /// Whether `distinct` may be off by a few percent.
  var isEstimate: Bool { sketch.isEstimate }

  mutating func add(_ text: UnsafePointer<UInt8>, _ length: Int) {
    count += 1
    if length == 0 {
      empty += 1
      return
    }
    let value = UnsafeBufferPointer(start: text, count: length)
    if length <= 4, let marker = Self.usualMarkers.firstIndex(where: { $0.utf8.elementsEqual(value) }) {
      markers[marker] += 1
      return
    }
    sketch.add(Fingerprint.short(UnsafeRawBufferPointer(value)))
    if let number = FieldValues.number(text, length) {
      numbers += 1
      sum += number
      least = min(least, number)
      most = max(most, number)
      if FieldValues.integer(text, length) != nil { integers += 1 }
    } else if FieldValues.iso8601(text, length) != nil {
      dates += 1
    } else {
      texts += 1
    }
    if length == 8, FieldValues.isHexadecimal(text, length) {
      hexadecimal += 1
      if value.contains(where: { $0 > 57 }) { hexadecimalLetters += 1 }
    }
    for (number, separator) in Self.bagSeparators.enumerated() where value.contains(separator) {
      separated[number] += 1
    }
    note(Array(value))
  }

  private mutating func note(_ value: [UInt8]) {
    if examples.count < Self.shownExamples {
      let example = String(decoding: value.prefix(40), as: UTF8.self) + (value.count > 40 ? "…" : "")
      if !examples.contains(example) { examples.append(example) }
    }
    guard few != nil else { return }
    if let known = few?.firstIndex(where: { $0.value == value }) {
      few?[known].count += 1
    } else if (few?.count ?? 0) < Self.fewValues {
      few?.append((value, 1))
    } else {
      few = nil
    }
  }
}

/// How many distinct hashes there were: exactly up to 512, then by HyperLogLog (Flajolet et al. 2007) with 4,096 registers, whose
/// standard error is 1.6%.
struct DistinctSketch {
  private static let registerBits = 12
  private static let exactLimit = 512
  private var registers = [UInt8](repeating: 0, count: 1 << registerBits)
  private var exact: Set<UInt64>? = []

  mutating func add(_ hash: UInt64) {
    if exact != nil {
      exact?.insert(hash)
      if (exact?.count ?? 0) > Self.exactLimit { exact = nil }
    }
    let register = Int(hash >> UInt64(64 - Self.registerBits))
    let rank = UInt8(min(64 - Self.registerBits, (hash << UInt64(Self.registerBits)).leadingZeroBitCount) + 1)
    registers[register] = max(registers[register], rank)
  }

  var isEstimate: Bool { exact == nil }

  var estimate: Int {
    if let exact { return exact.count }
    let count = Double(registers.count)
    let sum = registers.reduce(0.0) { $0 + 1 / Double(UInt64(1) << UInt64($1)) }
    let raw = 0.7213 / (1 + 1.079 / count) * count * count / sum
    let zeros = registers.count { $0 == 0 }
    // Few values leave registers empty, and their share says more.
    if raw <= 2.5 * count, zeros > 0 { return Int(-count * log(Double(zeros) / count)) }
    return Int(raw)
  }
}
