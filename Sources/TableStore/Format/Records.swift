import Primitives

/// Where training stands, as of one commit.
public struct CommitState: Equatable, Sendable {
  /// Number of commits since the model was created; 0 right after its creation.
  public let commit: UInt64
  /// Batches trained, at most `largestCursor`.
  public let cursor: UInt64
  public static let largestCursor = UInt64(UInt32.max) - 1
  /// Size of the dense record, which lies in a database of its own.
  public let denseBytes: Int
}

/// The records of the `meta` database: key, number in the checksum's place (do not renumber; 2 was the dense record).
enum Record: UInt64 {
  case header = 0
  case state = 1

  var key: String {
    switch self {
    case .header: "header"
    case .state: "state"
    }
  }

  /// The record's bytes after its seal, or an error that names it.
  func open(_ value: UnsafeRawBufferPointer?, path: String) throws -> UnsafeRawBufferPointer {
    guard let value else {
      throw ChanterError(.corrupt, "the \(key) record is missing; " + restoreAdvice, path: path)
    }
    switch Seal.verify(value, .record(rawValue)) {
    case .intact: return UnsafeRawBufferPointer(rebasing: value[Seal.byteCount...])
    case .newer(let found): throw Seal.newer(found, "the \(key) record", path: path)
    case .damaged: throw damaged(path)
    }
  }

  func damaged(_ path: String) -> ChanterError {
    ChanterError(
      .corrupt, "the \(key) record is damaged (checksum or length); " + restoreAdvice, path: path)
  }
}

/// The state record: commit, cursor, size of the dense record, 8 bytes each.
enum StateRecord {
  static let byteCount = Seal.byteCount + 24

  static func write(_ state: CommitState, into value: UnsafeMutableRawBufferPointer) {
    value.storeBytes(of: state.commit.littleEndian, toByteOffset: 8, as: UInt64.self)
    value.storeBytes(of: state.cursor.littleEndian, toByteOffset: 16, as: UInt64.self)
    value.storeBytes(of: UInt64(state.denseBytes).littleEndian, toByteOffset: 24, as: UInt64.self)
    Seal.close(value, .record(Record.state.rawValue))
  }

  static func read(_ value: UnsafeRawBufferPointer?, path: String) throws -> CommitState {
    let bytes = try Record.state.open(value, path: path)
    guard bytes.count == byteCount - Seal.byteCount else { throw Record.state.damaged(path) }
    let fields = (0..<3).map { index in
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
    }
    guard fields[0] <= Chunk.largestCommit, fields[1] <= CommitState.largestCursor,
      let denseBytes = Int(exactly: fields[2])
    else {
      throw Record.state.damaged(path)
    }
    return CommitState(commit: fields[0], cursor: fields[1], denseBytes: denseBytes)
  }
}

/// The header record: the row layout, then the trainer's own header as text.
enum HeaderRecord {
  static func bytes(_ layout: RowLayout, header: String) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Seal.byteCount)
    func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    func append(_ text: String) {
      append(UInt32(truncatingIfNeeded: text.utf8.count))
      bytes.append(contentsOf: text.utf8)
    }
    append(UInt32(truncatingIfNeeded: layout.dimension))
    append(UInt32(truncatingIfNeeded: layout.stateFloats))
    append(layout.seed)
    append(UInt32(truncatingIfNeeded: layout.tables.count))
    for (number, table) in layout.tables.enumerated() {
      append(table.rows)
      append(UInt32(truncatingIfNeeded: layout.randomWeights[number]))
      append(layout.initialScales[number].bitPattern)
      append(table.name)
    }
    append(header)
    bytes.withUnsafeMutableBytes { Seal.close($0, .record(Record.header.rawValue)) }
    return bytes
  }

  static func read(_ value: UnsafeRawBufferPointer?, path: String) throws -> (RowLayout, header: String) {
    var rest = try Record.header.open(value, path: path)
    func take<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
      let size = MemoryLayout<Value>.size
      guard rest.count >= size else { throw Record.header.damaged(path) }
      defer { rest = UnsafeRawBufferPointer(rebasing: rest[size...]) }
      return Value(littleEndian: rest.loadUnaligned(as: Value.self))
    }
    func takeText() throws -> String {
      let size = Int(try take(UInt32.self))
      guard rest.count >= size, let text = String(validating: rest[..<size], as: UTF8.self) else {
        throw Record.header.damaged(path)
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[size...])
      return text
    }
    let dimension = Int(try take(UInt32.self))
    let stateFloats = Int(try take(UInt32.self))
    let seed = try take(UInt64.self)
    let tableCount = Int(try take(UInt32.self))
    guard tableCount <= Environment.maximumTables else { throw Record.header.damaged(path) }
    var tables: [TableLayout] = []
    var randomWeights: [Int] = []
    var initialScales: [Float] = []
    for _ in 0..<tableCount {
      let rows = try take(UInt32.self)
      randomWeights.append(Int(try take(UInt32.self)))
      initialScales.append(Float(bitPattern: try take(UInt32.self)))
      tables.append(TableLayout(name: try takeText(), rows: rows))
    }
    let header = try takeText()
    let layout = RowLayout(
      tables: tables, dimension: dimension, stateFloats: stateFloats, seed: seed,
      randomWeights: randomWeights, initialScales: initialScales)
    guard rest.isEmpty, layoutFault(layout) == nil else { throw Record.header.damaged(path) }
    return (layout, header)
  }

  /// What keeps a layout from being stored, or nil.
  static func layoutFault(_ layout: RowLayout) -> String? {
    let floats = Geometry.largestRowBytes / 4
    if layout.dimension < 1 || layout.stateFloats < 0 || layout.dimension > floats
      || layout.stateFloats > floats || layout.rowFloats > floats
    {
      return "a row has 1 to \(floats) floats, optimizer state included, not \(layout.dimension) and"
        + " \(layout.stateFloats) of state; choose another dimension"
    }
    if layout.tables.count > Environment.maximumTables {
      return "a model has at most \(Environment.maximumTables) tables, not \(layout.tables.count);"
        + " leave out features, or let some share a table"
    }
    if layout.randomWeights.count != layout.tables.count
      || !layout.randomWeights.allSatisfy((0...layout.dimension).contains)
      || layout.initialScales.count != layout.tables.count
      || !layout.initialScales.allSatisfy({ $0.isFinite && $0 >= 0 })
    {
      return "the initial values of the rows are not those that a model can have"
    }
    if Set(layout.tables.map(\.name)).count < layout.tables.count {
      return "two tables have the same name; rename one of them in the schema"
    }
    let longest = 400
    for table in layout.tables {
      let size = table.name.utf8.count
      if size == 0 || size > longest || table.name.utf8.contains(0) {
        return "the table name \"\(table.name)\" does not have 1 to \(longest) bytes without a zero byte;"
          + " rename it in the schema"
      }
    }
    return nil
  }
}
