import Primitives
import Yams

/// A mapping of a schema file, whose keys are taken one by one; what is left over is an error with its line.
final class SchemaNode {
  let path: String
  /// Where it stands, such as `columns.age`, in messages.
  let place: String
  let line: Int
  private var values: [String: (node: Node, line: Int)] = [:]
  /// In the order of the file.
  private var names: [String] = []

  init(_ node: Node, path: String, place: String) throws {
    self.path = path
    self.place = place
    line = node.mark?.line ?? 1
    guard case .mapping(let mapping) = node else {
      throw ChanterError(
        .badInput, "\(place.isEmpty ? "the file" : place): expected `key: value` lines", path: path,
        line: line)
    }
    for (key, value) in mapping {
      let name = key.string ?? "?"
      let line = key.mark?.line ?? line
      guard values[name] == nil else { throw error(name, "this key stands here twice", line: line) }
      values[name] = (value, line)
      names.append(name)
    }
  }

  func error(_ key: String, _ message: String, line: Int? = nil) -> ChanterError {
    let name = [place, key].filter { !$0.isEmpty }.joined(separator: ".")
    return ChanterError(
      .badInput, name.isEmpty ? message : "\(name): \(message)", path: path,
      line: line ?? values[key]?.line ?? self.line)
  }

  /// Takes a key, and nil if it is not there.
  private var taken: Set<String> = []
  func take(_ key: String) -> Node? {
    taken.insert(key)
    return values[key]?.node
  }

  /// - Parameter keys: what may stand here, for the message.
  func requireNothingElse(_ keys: [String]) throws {
    for name in names where !taken.contains(name) {
      throw error(name, "unknown key; the keys here are \(keys.joined(separator: ", "))")
    }
  }

  func text(_ key: String) throws -> String? {
    guard let node = take(key) else { return nil }
    guard let text = node.scalar?.string else { throw error(key, "expected one value") }
    return text
  }

  func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, _ type: Choice.Type) throws -> Choice?
  where Choice.RawValue == String {
    guard let text = try text(key) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      let all = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw error(key, "`\(text)` is not one of \(all)")
    }
    return choice
  }

  func flag(_ key: String) throws -> Bool? {
    guard let node = take(key) else { return nil }
    guard let flag = node.bool else { throw error(key, "expected true or false") }
    return flag
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
    guard let node = take(key) else { return nil }
    guard let value = node.int, range.contains(value) else {
      throw error(key, "expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func number(_ key: String) throws -> Double? {
    guard let node = take(key) else { return nil }
    guard let value = node.float, value.isFinite else { throw error(key, "expected a number") }
    return value
  }

  /// One value or a list of them.
  func texts(_ key: String) throws -> [String]? {
    guard let node = take(key) else { return nil }
    let nodes = node.sequence.map { Array($0) } ?? [node]
    return try nodes.map {
      guard let text = $0.scalar?.string else { throw error(key, "expected a value or a list of values") }
      return text
    }
  }

  /// A separator: one character of ASCII, or its name.
  func separator(_ key: String) throws -> UInt8? {
    guard let text = try text(key) else { return nil }
    let named: [String: UInt8] = ["tab": 9, "comma": 44, "semicolon": 59, "space": 32, "pipe": 124]
    if let byte = named[text] { return byte }
    let bytes = Array(text.utf8)
    guard bytes.count == 1, SchemaReader.isSeparator(bytes[0]) else {
      throw error(key, "expected one character such as \",\" or \"|\", or tab; not a quote or a line end")
    }
    return bytes[0]
  }
}
