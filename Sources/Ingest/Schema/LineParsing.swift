import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Parses the lines of one block into its columns.
struct LineParsing {
  struct Problem {
    var reason: LineReason
    var message: String
  }

  /// Of the line that was parsed last.
  private(set) var time: Int64 = 0
  private(set) var part = Split.train

  private let parser: SchemaParser
  private let block: TextBlock
  private let text: UnsafeMutablePointer<UInt8>
  private let fields: AlignedBuffer<ColumnOperation>
  private let starts: UnsafeMutablePointer<Int>
  private let lengths: UnsafeMutablePointer<Int>

  init(
    _ parser: SchemaParser, _ block: TextBlock, _ fields: AlignedBuffer<ColumnOperation>,
    starts: UnsafeMutablePointer<Int>, lengths: UnsafeMutablePointer<Int>
  ) {
    self.parser = parser
    self.block = block
    self.fields = fields
    self.starts = starts
    self.lengths = lengths
    text = block.text.base
  }

  /// Parses the line `text[start ..< end]` as the next sample of the block; nil if all is well.
  mutating func parse(_ start: Int, _ end: Int) -> Problem? {
    var count = 0
    if let problem = parser.splitter.split(
      text, start, end, starts: starts, lengths: lengths, room: fields.count, count: &count)
    {
      return quoteProblem(problem)
    }
    guard count == fields.count else {
      return Problem(
        reason: .fieldCount,
        message: "number of fields is \(count), expected \(fields.count)"
          + (parser.schema.hasHeader ? " as in the header" : " as the schema has columns"))
    }
    let sample = block.samples.sampleCount
    block.samples.labels.base[sample] = 0
    part = .train
    let operations = fields.base
    for field in 0..<count {
      if let problem = parse(operations[field], starts[field], lengths[field], sample) {
        for (list, bag) in zip(block.bags, block.samples.bags) {
          list.truncate(to: Int(bag.offsets.base[sample]))
        }
        return problem
      }
    }
    for (list, bag) in zip(block.bags, block.samples.bags) {
      bag.offsets.base[sample + 1] = UInt32(list.count)
    }
    return nil
  }

  @inline(__always)
  private mutating func parse(
    _ operation: ColumnOperation, _ start: Int, _ length: Int, _ sample: Int
  ) -> Problem? {
    let isMissing = length == 0 || operation.hasMarkers && isMarker(operation, start, length)
    switch operation.code {
    case .ignored: return nil
    case .dense, .log1p, .standardise:
      let target = block.samples.dense.base + sample * block.layout.denseCount + operation.target
      if isMissing {
        target.pointee = operation.awaitsMoments ? .nan : 0
        return nil
      }
      guard let value = FieldValues.number(text + start, length) else {
        return problem(operation, .number, start, length, "a number or nothing")
      }
      switch operation.code {
      case .log1p: target.pointee = value > 0 ? Float(log1p(value)) : 0
      case .standardise where !operation.awaitsMoments:
        target.pointee = DenseStatistics.standardised(Float(value), operation)
      default: target.pointee = Float(value)
      }
      // What is still to be standardised is another number then.
      let precision = operation.awaitsMoments ? .fp32 : parser.precision
      guard target.pointee.magnitude <= precision.largest else {
        return problem(
          operation, .number, start, length,
          precision == .fp32
            ? "a number that 32 bits can hold"
            : "a number up to 65,504, where half precision ends; use --dense fp32 in preprocessing, or a transform"
        )
      }
    case .bucket:
      var place: (start: UInt32, length: UInt16) = (0, 0)
      var observed = Double.nan
      if !isMissing {
        guard let value = FieldValues.number(text + start, length) else {
          return problem(operation, .number, start, length, "a number or nothing")
        }
        place = parser.buckets.place(of: value, operation)
        observed = value
      }
      block.route?.observe(observed, operation, sample)
      let target = operation.target * block.samples.capacity + sample
      block.starts.base[target] = place.start
      block.lengths.base[target] = place.length
    case .string, .integer, .hexadecimal:
      if operation.isBag {
        return isMissing ? nil : parseBag(operation, start, length)
      }
      var (start, length) = (start, isMissing ? 0 : length)
      if length > 0, let problem = check(operation, &start, &length) { return problem }
      let target = operation.target * block.samples.capacity + sample
      block.starts.base[target] = UInt32(truncatingIfNeeded: start)
      block.lengths.base[target] = UInt16(truncatingIfNeeded: length)
    case .binaryLabel:
      guard length == 1, text[start] &- 48 < 2 else {
        return problem(
          operation, .label, start, length, "0 or 1; other labels need `positive` or `threshold`")
      }
      block.samples.labels.base[sample] = Float(text[start] &- 48)
    case .thresholdLabel:
      guard !isMissing, let value = FieldValues.number(text + start, length) else {
        return problem(operation, .label, start, length, "a number")
      }
      block.samples.labels.base[sample] = value >= operation.offset ? 1 : 0
    case .valueLabel: return parseLabel(operation, start, length, isMissing: isMissing, sample)
    case .weight:
      let value = FieldValues.number(text + start, length).map { Float($0) } ?? 0
      guard value > 0, value.isFinite else {
        return problem(operation, .weight, start, length, "a number above 0")
      }
      block.samples.weights.base[sample] = value
    case .time:
      if let problem = parseTime(operation, start, length) { return problem }
      block.samples.times.base[sample] = time
    case .split: return parsePart(operation, start, length)
    }
    return nil
  }

  private func isMarker(_ operation: ColumnOperation, _ start: Int, _ length: Int) -> Bool {
    parser.markers[operation.column].contains { $0.count == length && memcmp($0, text + start, length) == 0 }
  }

  /// The values of a bag: empty ones and markers are left out, and those behind the longest length.
  private func parseBag(_ operation: ColumnOperation, _ start: Int, _ length: Int) -> Problem? {
    let list = block.bags[operation.target]
    let end = start + length
    var kept = 0
    var position = start
    while position < end, kept < operation.maximumLength {
      var stop = position
      while stop < end, text[stop] != operation.separator { stop += 1 }
      var (first, count) = (position, stop - position)
      if parser.splitter.trims {
        while count > 0, text[first] == 32 {
          first += 1
          count -= 1
        }
        while count > 0, text[first + count - 1] == 32 { count -= 1 }
      }
      position = stop + 1
      if count == 0 || operation.hasMarkers && isMarker(operation, first, count) { continue }
      if let problem = check(operation, &first, &count) { return problem }
      list.append(start: first, length: count)
      kept += 1
    }
    return nil
  }

  /// Checks a value of a categorical column and makes it what the vocabulary keeps.
  private func check(_ operation: ColumnOperation, _ start: inout Int, _ length: inout Int) -> Problem? {
    switch operation.code {
    case .string:
      guard FieldValues.isText(text + start, length) else {
        return problem(
          operation, .encoding, start, length, "UTF-8 text without NUL bytes; convert the file with iconv")
      }
    case .integer:
      guard FieldValues.integer(text + start, length) != nil else {
        return problem(operation, .integer, start, length, "a 64-bit integer or nothing")
      }
      let made = FieldValues.canonicalInteger(text + start, length)
      start += made.skip
      length = made.length
    default:
      guard FieldValues.isHexadecimal(text + start, length) else {
        return problem(operation, .category, start, length, "1 to 16 hexadecimal digits or nothing")
      }
    }
    return nil
  }

  private func parseLabel(
    _ operation: ColumnOperation, _ start: Int, _ length: Int, isMissing: Bool, _ sample: Int
  ) -> Problem? {
    guard case .label(.values(let positive, let negative)) = parser.schema.columns[operation.column].kind
    else {
      return nil
    }
    let field = UnsafeRawBufferPointer(start: text + start, count: length)
    func isOne(of values: [String]) -> Bool { values.contains { $0.utf8.elementsEqual(field) } }
    if isOne(of: positive) {
      block.samples.labels.base[sample] = 1
    } else if negative.isEmpty ? isMissing : !isOne(of: negative) {
      let all = (positive + negative).prefix(8).map { "'\($0)'" }.joined(separator: ", ")
      return problem(operation, .label, start, length, negative.isEmpty ? "a label" : "one of \(all)")
    }
    return nil
  }

  private mutating func parseTime(_ operation: ColumnOperation, _ start: Int, _ length: Int) -> Problem? {
    guard case .time(let format) = parser.schema.columns[operation.column].kind else { return nil }
    switch format {
    case .integer:
      guard let value = FieldValues.integer(text + start, length) else {
        return problem(operation, .time, start, length, "a 64-bit integer")
      }
      time = value
    case .iso8601:
      guard let value = FieldValues.iso8601(text + start, length) else {
        return problem(operation, .time, start, length, "an ISO 8601 date such as 2014-10-21T07:30:00")
      }
      time = value
    }
    guard let split = parser.schema.split else { return nil }
    if let from = split.validFrom, time >= from { part = .valid }
    if let from = split.testFrom, time >= from { part = .holdout }
    return nil
  }

  private mutating func parsePart(_ operation: ColumnOperation, _ start: Int, _ length: Int) -> Problem? {
    guard case .split(let values) = parser.schema.columns[operation.column].kind else { return nil }
    let field = UnsafeRawBufferPointer(start: text + start, count: length)
    func isOne(of values: [String]) -> Bool { values.contains { $0.utf8.elementsEqual(field) } }
    if isOne(of: values.train) {
      part = .train
    } else if isOne(of: values.valid) {
      part = .valid
    } else if isOne(of: values.test) {
      part = .holdout
    } else if !parser.predicts {
      let all = (values.train + values.valid + values.test).prefix(8).map { "'\($0)'" }.joined(
        separator: ", ")
      return problem(operation, .part, start, length, "one of \(all)")
    }
    return nil
  }

  private func problem(
    _ operation: ColumnOperation, _ reason: LineReason, _ start: Int, _ length: Int, _ expected: String
  ) -> Problem {
    let field = UnsafeRawBufferPointer(start: text + start, count: length)
    return Problem(
      reason: reason,
      message:
        "column \(parser.schema.columns[operation.column].name) is \(quoted(field)), expected \(expected)")
  }

  private func quoteProblem(_ problem: FieldSplitter.Problem) -> Problem {
    let number: Int
    let message: String
    switch problem {
    case .openQuote(let field):
      (number, message) = (
        field, "opens a quote that its line does not close; values over several lines are not supported"
      )
    case .textAfterQuote(let field): (number, message) = (field, "has text behind its closing quote")
    }
    let name =
      number < fields.count ? parser.schema.columns[fields.base[number].column].name : "\(number + 1)"
    return Problem(
      reason: .quote,
      message: "column \(name) \(message); expected RFC 4180, or `quotes: false` if quotes mean nothing here")
  }
}
