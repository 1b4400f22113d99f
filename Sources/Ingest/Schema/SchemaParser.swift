import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Parses the lines of a schema. Empty lines are left out.
///
/// Unchecked `Sendable`: `begin` alone changes anything, and is never called while blocks are parsed.
final class SchemaParser: BlockParser, @unchecked Sendable {
  let layout: InputLayout
  let schema: Schema
  let predicts: Bool
  /// What has to hold the numbers of dense columns.
  let precision: DensePrecision
  let splitter: FieldSplitter
  /// By column of the schema.
  let operations: [ColumnOperation]
  /// By column: what stands for no value.
  let markers: [[[UInt8]]]
  let buckets: BucketTable
  /// The first line of the first input, if it is a header.
  private(set) var header: [UInt8]?
  /// By input: the operation of each field of a line.
  private var fields: [Int: AlignedBuffer<ColumnOperation>] = [:]

  init(_ schema: Schema, predicts: Bool, precision: DensePrecision) throws {
    self.schema = schema
    self.predicts = predicts
    self.precision = precision
    splitter = FieldSplitter(separator: schema.separator, quotes: schema.quotes, trims: schema.trims)
    markers = schema.columns.map {
      ($0.missing ?? schema.missing).filter { !$0.isEmpty }.map { Array($0.utf8) }
    }
    let plan = try OperationPlan(schema, markers)
    operations = plan.operations
    buckets = plan.buckets
    layout = schema.layout.with(tail: plan.buckets.tail)
  }

  func parse(_ block: TextBlock) {
    let samples = block.samples
    block.problems.removeAll()
    samples.sampleCount = 0
    for bag in block.bags { bag.removeAll() }
    block.lines = 0
    guard let fields = fields[block.input] else { return }
    let text = block.text.base
    var position = block.isFirst ? Self.byteOrderMark(block) : 0
    var isHeader = block.isFirst && schema.hasHeader
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * fields.count) { places in
      guard let starts = places.baseAddress else { return }
      var line = LineParsing(self, block, fields, starts: starts, lengths: starts + fields.count)
      while position < block.count {
        let start = position
        var end = block.count
        position = end
        if let newline = memchr(text + start, 10, end - start) {
          end = text.distance(to: newline.assumingMemoryBound(to: UInt8.self))
          position = end + 1
        }
        if end > start, text[end - 1] == 13 { end -= 1 }
        defer { block.lines += 1 }
        if isHeader {
          isHeader = false
          continue
        }
        if start == end { continue }
        precondition(samples.sampleCount < samples.capacity, "a block has more lines than its layout says")
        if end - start > LineReader.maximumLineBytes {
          block.problems.add(.tooLong, line: block.lines, LineReader.tooLongMessage)
        } else if let problem = line.parse(start, end) {
          block.problems.add(problem.reason, line: block.lines, problem.message)
        } else {
          block.route?.set(samples.sampleCount, start: start, end: end, line)
          samples.sampleCount += 1
        }
      }
    }
    block.finish()
  }

  /// Bytes of a UTF-8 byte order mark at the start.
  static func byteOrderMark(_ block: TextBlock) -> Int {
    let text = block.text.base
    return block.count >= 3 && text[0] == 0xEF && text[1] == 0xBB && text[2] == 0xBF ? 3 : 0
  }

  func begin(_ block: TextBlock, path: String) throws { try begin(block, path: path, sameOrder: false) }

  /// - Parameter sameOrder: whether every input must have the columns in the order of the first.
  func begin(_ block: TextBlock, path: String, sameOrder: Bool) throws {
    if block.isFirst, block.isLast, block.count == Self.byteOrderMark(block) {
      throw ChanterError(.badInput, LineAccount.emptyMessage, path: path)
    }
    let bytes = try firstLine(block, path)
    let header = try splitter.fields(bytes, path: path)
    if schema.hasHeader {
      self.header = self.header ?? bytes
      if sameOrder, try splitter.fields(self.header ?? [], path: path) != header {
        throw ChanterError(
          .badInput,
          "the header differs from that of the first input; with order or split by time or column, or quantiles, they"
            + " must be the same", path: path, line: 1)
      }
    }
    let order = try HeaderOrder(self, path: path).operations(header)
    let buffer = AlignedBuffer<ColumnOperation>(count: order.count)
    for (field, operation) in order.enumerated() { buffer.base[field] = operation }
    fields[block.input] = buffer
  }

  /// The first line of an input, which is read anew if `block` is not its first.
  private func firstLine(_ block: TextBlock, _ path: String) throws -> [UInt8] {
    var bytes: [UInt8]
    if block.isFirst {
      bytes = Array(block.text.prefix(min(block.count, LineReader.maximumLineBytes + 2)))
    } else {
      let input = try TextInput(path)
      let buffer = AlignedBuffer<UInt8>(count: LineReader.maximumLineBytes + 2)
      var count = 0
      while count < buffer.count {
        let got = try input.read(into: buffer.base + count, atMost: buffer.count - count)
        if got == 0 { break }
        count += got
      }
      bytes = Array(buffer.prefix(count))
    }
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
      throw ChanterError(
        .badInput, "the file is UTF-16; convert it first, for example with iconv -f UTF-16 -t UTF-8",
        path: path,
        line: 1)
    }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
    if let end = bytes.firstIndex(of: 10) { bytes.removeSubrange(end...) }
    if bytes.last == 13 { bytes.removeLast() }
    guard bytes.count <= LineReader.maximumLineBytes else {
      throw ChanterError(.badInput, LineReader.tooLongMessage, path: path, line: 1)
    }
    return bytes
  }
}

extension FieldSplitter {
  /// The fields of one line as text.
  func fields(_ line: [UInt8], path: String) throws -> [String] {
    var line = line
    var starts = [Int](repeating: 0, count: line.count + 1)
    var lengths = starts
    var count = 0
    let length = line.count
    let problem = line.withUnsafeMutableBufferPointer { text -> Problem? in
      guard let base = text.baseAddress else {
        count = 1
        return nil
      }
      return split(
        base, 0, length, starts: &starts, lengths: &lengths, room: starts.count, count: &count)
    }
    if problem != nil {
      throw ChanterError(.badInput, "the quotes of the first line do not match", path: path, line: 1)
    }
    return (0..<count).map { String(decoding: line[starts[$0]..<starts[$0] + lengths[$0]], as: UTF8.self) }
  }
}

/// Which operation each field of a file's lines has.
struct HeaderOrder {
  private let parser: SchemaParser
  private let path: String
  private var schema: Schema { parser.schema }

  init(_ parser: SchemaParser, path: String) {
    self.parser = parser
    self.path = path
  }

  /// - Parameter first: the fields of the first line.
  func operations(_ first: [String]) throws -> [ColumnOperation] {
    schema.hasHeader ? try byName(first) : try byPlace(first)
  }

  private func byPlace(_ first: [String]) throws -> [ColumnOperation] {
    let count = schema.columns.count
    if parser.predicts, first.count == count - 1 {
      return parser.operations.filter { !isLabel($0) }
    }
    return parser.operations
  }

  private func isLabel(_ operation: ColumnOperation) -> Bool {
    if case .label = schema.columns[operation.column].kind { true } else { false }
  }

  private func byName(_ header: [String]) throws -> [ColumnOperation] {
    var found = Set<Int>()
    let result = try header.map { name -> ColumnOperation in
      guard let number = schema.columns.firstIndex(where: { $0.name == name }) else {
        if schema.ignoresOtherColumns { return ColumnOperation(column: 0) }
        throw ChanterError(
          .badInput,
          "the header has the column \(quoted(name)), which the schema does not have; add it with `type: ignore`, or set"
            + " `other_columns: ignore`", path: path, line: 1)
      }
      guard found.insert(number).inserted else {
        throw ChanterError(.badInput, "the header has the column \(quoted(name)) twice", path: path, line: 1)
      }
      return parser.operations[number]
    }
    for (number, column) in schema.columns.enumerated() where !found.contains(number) {
      switch column.kind {
      case .ignored: continue
      case .label, .weight, .split, .time: if parser.predicts { continue }
      default: break
      }
      throw ChanterError(
        .badInput,
        "the header has no column \(quoted(column.name)), which the schema has; does the file have a header? Say `header:"
          + " false` if not", path: path, line: 1)
    }
    return result
  }

  private func quoted(_ name: String) -> String {
    Array(name.utf8).withUnsafeBytes { Ingest.quoted($0) }
  }
}
