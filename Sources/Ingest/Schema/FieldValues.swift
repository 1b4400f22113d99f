#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Numbers and texts of one field; each function is nil for what it cannot be.
enum FieldValues {
  /// A finite decimal number, with an exponent or without.
  static func number(_ text: UnsafePointer<UInt8>, _ length: Int) -> Double? {
    var position = 0
    let isNegative = length > 0 && text[0] == 45
    if isNegative || (length > 0 && text[0] == 43) { position = 1 }
    var digits = 0
    var fraction = 0
    var magnitude: UInt64 = 0
    var seesPoint = false
    while position < length {
      let digit = text[position] &- 48
      if digit < 10 {
        digits += 1
        if digits > 18 { return slowNumber(text, length) }
        magnitude = magnitude &* 10 &+ UInt64(digit)
        if seesPoint { fraction += 1 }
      } else if text[position] == 46, !seesPoint {
        seesPoint = true
      } else {
        return slowNumber(text, length)
      }
      position += 1
    }
    guard digits > 0 else { return nil }
    // Both numbers are exact in a double, and so their quotient is the nearest one.
    guard magnitude < 1 << 53 else { return slowNumber(text, length) }
    let value = Double(magnitude) / powersOfTen[fraction]
    return isNegative ? -value : value
  }

  private static let powersOfTen: [Double] = (0...18).map { pow(10, Double($0)) }

  private static func slowNumber(_ text: UnsafePointer<UInt8>, _ length: Int) -> Double? {
    guard length <= 400 else { return nil }
    var seesDigit = false
    for position in 0..<length {
      switch text[position] {
      case 48...57: seesDigit = true
      case 43, 45, 46, 69, 101: continue
      default: return nil
      }
    }
    guard seesDigit else { return nil }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 1) { copy in
      for position in 0..<length { copy[position] = CChar(bitPattern: text[position]) }
      copy[length] = 0
      guard let base = copy.baseAddress else { return nil }
      var end: UnsafeMutablePointer<CChar>?
      let value = strtod(base, &end)
      return end == base + length && value.isFinite ? value : nil
    }
  }

  /// A whole number of 64 bits.
  static func integer(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int64? {
    var position = 0
    let isNegative = length > 0 && text[0] == 45
    if isNegative || (length > 0 && text[0] == 43) { position = 1 }
    guard position < length else { return nil }
    var value: Int64 = 0
    while position < length {
      let digit = text[position] &- 48
      guard digit < 10 else { return nil }
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) =
        isNegative
        ? tenfold.subtractingReportingOverflow(Int64(digit)) : tenfold.addingReportingOverflow(Int64(digit))
      if overflow || carry { return nil }
      value = sum
      position += 1
    }
    return value
  }

  /// Makes a whole number that `integer` accepts the one way to write it, in place.
  /// - Returns: how many bytes at the front are left out, and the new length; a minus may move.
  static func canonicalInteger(_ text: UnsafeMutablePointer<UInt8>, _ length: Int) -> (skip: Int, length: Int)
  {
    let isNegative = text[0] == 45
    var skip = isNegative || text[0] == 43 ? 1 : 0
    while skip < length - 1, text[skip] == 48 { skip += 1 }
    if isNegative, text[skip] != 48 {
      skip -= 1
      text[skip] = 45
    }
    return (skip, length - skip)
  }

  static func isHexadecimal(_ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    guard (1...16).contains(length) else { return false }
    for position in 0..<length where !(text[position] &- 48 < 10 || (text[position] | 32) &- 97 < 6) {
      return false
    }
    return true
  }

  /// Whether it is UTF-8 text without a NUL.
  static func isText(_ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    var any: UInt8 = 0
    var hasNul = false
    for position in 0..<length {
      any |= text[position]
      hasNul = hasNul || text[position] == 0
    }
    if hasNul { return false }
    if any < 0x80 { return true }
    return String(validating: UnsafeBufferPointer(start: text, count: length), as: UTF8.self) != nil
  }

  /// Microseconds since 1970 of an ISO 8601 date, with a time of day and a zone or without; UTC if it names none.
  static func iso8601(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int64? {
    var position = 0
    func digits(_ count: Int) -> Int64? {
      guard position + count <= length else { return nil }
      var value: Int64 = 0
      for _ in 0..<count {
        let digit = text[position] &- 48
        guard digit < 10 else { return nil }
        value = value * 10 + Int64(digit)
        position += 1
      }
      return value
    }
    func sees(_ byte: UInt8) -> Bool {
      guard position < length, text[position] == byte else { return false }
      position += 1
      return true
    }
    guard let year = digits(4), sees(45), let month = digits(2), sees(45), let day = digits(2),
      (1...12).contains(month), (1...daysOf(month, year)).contains(day)
    else { return nil }
    var seconds = daysSince1970(year, month, day) * 86_400
    var micros: Int64 = 0
    if position < length {
      guard sees(84) || sees(32), let hour = digits(2), sees(58), let minute = digits(2), hour < 24,
        minute < 60
      else { return nil }
      seconds += hour * 3600 + minute * 60
      if sees(58) {
        guard let second = digits(2), second < 61 else { return nil }
        seconds += second
        if sees(46) {
          var scale: Int64 = 100_000
          var places = 0
          while position < length, text[position] &- 48 < 10 {
            micros += Int64(text[position] &- 48) * scale
            scale /= 10
            places += 1
            position += 1
          }
          guard places > 0 else { return nil }
        }
      }
      if position < length, !sees(90) {
        let isWest = text[position] == 45
        guard sees(43) || sees(45), let hour = digits(2), hour < 24 else { return nil }
        _ = sees(58)
        guard let minute = digits(2), minute < 60 else { return nil }
        seconds += (isWest ? 1 : -1) * (hour * 3600 + minute * 60)
      }
    }
    return position == length ? seconds * 1_000_000 + micros : nil
  }

  private static func daysOf(_ month: Int64, _ year: Int64) -> Int64 {
    if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
    return [4, 6, 9, 11].contains(month) ? 30 : 31
  }

  /// In the Gregorian calendar, counted in years that begin in March, so that the leap day is the last.
  private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let shifted = month > 2 ? year : year - 1
    let monthFromMarch = (month + 9) % 12
    let leaps = shifted / 4 - shifted / 100 + shifted / 400
    return shifted * 365 + leaps + (153 * monthFromMarch + 2) / 5 + day - 1 - 719_468
  }
}
