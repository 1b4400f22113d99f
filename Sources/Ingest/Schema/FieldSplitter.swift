/// Cuts a line into fields by RFC 4180, but that a field ends on its line.
struct FieldSplitter {
  let separator: UInt8
  let quotes: Bool
  let trims: Bool

  /// What is wrong with a line as a whole.
  enum Problem {
    /// A quoted field that the line does not end; the number of the field.
    case openQuote(Int)
    /// Text behind the closing quote of a field.
    case textAfterQuote(Int)
  }

  /// Cuts `text[start ..< end]`. Doubled quotes are made one in place.
  /// - Parameters:
  ///   - starts: of the first `room` fields.
  ///   - count: gets the number of all fields.
  func split(
    _ text: UnsafeMutablePointer<UInt8>, _ start: Int, _ end: Int, starts: UnsafeMutablePointer<Int>,
    lengths: UnsafeMutablePointer<Int>, room: Int, count: inout Int
  ) -> Problem? {
    count = 0
    var position = start
    while true {
      if trims { while position < end, text[position] == 32 { position += 1 } }
      var first = position
      var last: Int
      if quotes, position < end, text[position] == 34 {
        first += 1
        guard let closing = unquote(text, &position, end) else { return .openQuote(count) }
        last = closing
        if trims { while position < end, text[position] == 32 { position += 1 } }
        if position < end, text[position] != separator { return .textAfterQuote(count) }
      } else {
        while position < end, text[position] != separator { position += 1 }
        last = position
        if trims { while last > first, text[last - 1] == 32 { last -= 1 } }
      }
      if count < room {
        starts[count] = first
        lengths[count] = last - first
      }
      count += 1
      if position == end { return nil }
      position += 1
    }
  }

  /// Goes from an opening quote behind the closing one.
  /// - Returns: where the content ends, or nil if nothing closes it.
  private func unquote(_ text: UnsafeMutablePointer<UInt8>, _ position: inout Int, _ end: Int) -> Int? {
    position += 1
    var target = position
    while position < end {
      let byte = text[position]
      position += 1
      if byte == 34 {
        guard position < end, text[position] == 34 else { return target }
        position += 1
      }
      text[target] = byte
      target += 1
    }
    return nil
  }
}
