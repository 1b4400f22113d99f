extension Schema {
  /// How its time column is written; nil if it has none.
  public var timeFormat: TimeFormat? {
    for column in columns { if case .time(let format) = column.kind { return format } }
    return nil
  }
}

extension TimeFormat {
  /// A time as people write it, in UTC; nil for numbers of an unknown unit and beyond the years 0 to 9999.
  public func text(_ time: Int64) -> String? {
    guard self == .iso8601 else { return nil }
    func parts(_ number: Int64, _ divisor: Int64) -> (Int64, Int64) {
      let rest = ((number % divisor) + divisor) % divisor
      return ((number - rest) / divisor, rest)
    }
    func padded(_ number: Int64, _ digits: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    // Far beyond these years, and nothing below overflows.
    guard time.magnitude < 1 << 60 else { return nil }
    let (seconds, micros) = parts(time, 1_000_000)
    let (days, second) = parts(seconds, 86_400)
    // Years that begin in March, counted from the year 0, in cycles of 400 of them.
    let (cycle, dayOfCycle) = parts(days + 719_468, 146_097)
    let yearOfCycle =
      (dayOfCycle - dayOfCycle / 1460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
    let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let year = 400 * cycle + yearOfCycle + (month <= 2 ? 1 : 0)
    guard (0...9999).contains(year) else { return nil }
    var text = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    text += "T\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    if micros > 0 {
      text += "." + padded(micros, 6)
      while text.hasSuffix("0") { text.removeLast() }
    }
    return text + "Z"
  }
}
