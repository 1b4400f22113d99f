import Primitives

/// Writes a first schema for a file: a guess at its format and at what each column is, with a comment on everything that
/// was seen. Memory: 5 KiB a column and one line.
public struct SchemaInference {
  /// Nil guesses.
  public var separator: UInt8?
  public var hasHeader: Bool?
  /// Most lines that are read; nil for all.
  public var maximumLines: Int? = 1_000_000
  /// Called now and then with the lines read so far.
  public var progressed: (Int) -> Void = { _ in }

  public init() {}

  /// Lines that the format is guessed from.
  private static let firstLines = 200
  private static let maximumColumns = SchemaReader.maximumColumns

  /// - Parameter path: a file, perhaps packed; `-` is standard input.
  /// - Returns: YAML.
  /// - Throws: `.badInput` for a file that is no table of text.
  public func run(_ path: String) throws -> String {
    let reader = try LineReader(path)
    var first: [(line: Int, bytes: [UInt8])] = []
    while first.count < Self.firstLines, let line = try reader.next() {
      if first.isEmpty, line.starts(with: [0xFF, 0xFE]) || line.starts(with: [0xFE, 0xFF]) {
        throw ChanterError(
          .badInput, "the file is UTF-16; convert it first, for example with iconv -f UTF-16 -t UTF-8",
          path: path, line: 1)
      }
      var bytes = Array(line)
      if first.isEmpty, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
      if !bytes.isEmpty { first.append((reader.line, bytes)) }
    }
    guard !first.isEmpty else {
      throw ChanterError(.badInput, "the file is empty; give one with at least one line", path: path)
    }
    let format = try TableFormat(
      guessing: first.map(\.bytes), separator: separator, hasHeader: hasHeader, path: path)
    let splitter = FieldSplitter(separator: format.separator, quotes: format.quotes, trims: format.trims)
    let count = format.names.count
    guard count <= Self.maximumColumns else {
      throw ChanterError(
        .badInput, "the file has \(count) columns, more than \(Self.maximumColumns)", path: path)
    }
    var profiles = [ColumnProfile](repeating: ColumnProfile(), count: count)
    let scratch = AlignedBuffer<UInt8>(count: LineReader.maximumLineBytes)
    let starts = AlignedBuffer<Int>(count: count)
    let lengths = AlignedBuffer<Int>(count: count)
    var lines = 0
    func add(_ line: UnsafeRawBufferPointer, number: Int) throws {
      if line.isEmpty { return }
      guard let source = line.baseAddress else { return }
      UnsafeMutableRawPointer(scratch.base).copyMemory(from: source, byteCount: line.count)
      var found = 0
      let problem = splitter.split(
        scratch.base, 0, line.count, starts: starts.base, lengths: lengths.base, room: count, count: &found)
      guard problem == nil, found == count else {
        throw ChanterError(
          .badInput,
          problem == nil
            ? "number of fields is \(found), \(count) in the first line; is the separator right?"
            : "the quotes of this line do not match", path: path, line: number)
      }
      for column in 0..<count {
        profiles[column].add(scratch.base + starts.base[column], lengths.base[column])
      }
      lines += 1
      if lines % 65_536 == 0 { progressed(lines) }
    }
    for (number, line) in first.dropFirst(format.hasHeader ? 1 : 0).prefix(maximumLines ?? .max) {
      try line.withUnsafeBytes { try add($0, number: number) }
    }
    while lines < maximumLines ?? .max, let line = try reader.next() { try add(line, number: reader.line) }
    guard lines > 0 else {
      throw ChanterError(.badInput, "the file has a header and no line below it", path: path)
    }
    return SchemaText(format, profiles, lines: lines).yaml
  }
}

/// The format of a table of text, as far as its first lines tell.
struct TableFormat {
  let separator: UInt8
  let hasHeader: Bool
  let quotes: Bool
  let trims: Bool
  let names: [String]

  private static let separators: [UInt8] = [9, 44, 59, 124]

  init(
    guessing lines: [[UInt8]], separator: UInt8?, hasHeader: Bool?, path: String
  ) throws {
    let quotes = lines.contains { $0.contains(34) }
    func fields(_ line: [UInt8], _ separator: UInt8, trims: Bool = false) -> [String]? {
      try? FieldSplitter(separator: separator, quotes: quotes, trims: trims).fields(line, path: path)
    }
    // The separator that cuts every line into the same number of fields, and into the most.
    let candidates = Self.separators.filter { candidate in
      let counts = Set(lines.map { fields($0, candidate, trims: true)?.count ?? 0 })
      return counts.count == 1 && counts != [0] && counts != [1]
    }
    let best = candidates.max {
      (fields(lines[0], $0, trims: true)?.count ?? 0) < (fields(lines[0], $1, trims: true)?.count ?? 0)
    }
    guard let chosen = separator ?? best else {
      throw ChanterError(
        .badInput,
        "no separator (tab, comma, semicolon, pipe) cuts the first \(lines.count) lines into the same number of"
          + " fields; give --separator, or is this no table of text?", path: path)
    }
    let untrimmed = lines.compactMap { fields($0, chosen) }
    let trims = untrimmed.contains { $0.contains { $0.hasPrefix(" ") } }
    let rows = lines.compactMap { fields($0, chosen, trims: trims) }
    guard let first = rows.first else {
      throw ChanterError(.badInput, "the quotes of the first line do not match", path: path, line: 1)
    }
    self.separator = chosen
    self.quotes = quotes
    self.trims = trims
    self.hasHeader = hasHeader ?? Self.looksLikeHeader(first, rows.dropFirst())
    names = self.hasHeader ? first : first.indices.map { "c\($0 + 1)" }
  }

  /// Names are distinct and no numbers, and do not stand among the values below them.
  private static func looksLikeHeader(_ first: [String], _ rows: ArraySlice<[String]>) -> Bool {
    guard Set(first).count == first.count, !first.contains("") else { return false }
    for (column, name) in first.enumerated() {
      var text = name
      let isNumber = text.withUTF8 { bytes in
        bytes.baseAddress.map { FieldValues.number($0, bytes.count) != nil } ?? false
      }
      if isNumber || rows.contains(where: { column < $0.count && $0[column] == name }) { return false }
    }
    return true
  }
}
