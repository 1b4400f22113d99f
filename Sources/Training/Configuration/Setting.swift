import Primitives
import Yams

/// One scalar or list of a configuration with its dotted key, and the ways to read it.
struct Setting {
  let key: String
  let node: Node
  /// Nil for one from the command line.
  let origin: SettingOrigin

  func error(_ message: String) -> ChanterError {
    ChanterError(
      .badInput, "\(origin.line == nil ? "--set " : "")\(key): \(message)", path: origin.path,
      line: origin.line)
  }

  func choice<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) throws -> Choice
  where Choice.RawValue == String {
    guard let text = node.string, let value = Choice(rawValue: text) else {
      throw error(
        "`\(node.string ?? "a list")` is not one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))"
      )
    }
    return value
  }

  func integer(_ range: ClosedRange<Int>) throws -> Int {
    guard let value = node.int, range.contains(value) else {
      throw error("expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func bool() throws -> Bool {
    guard let value = node.bool else { throw error("expected true or false") }
    return value
  }

  func positive() throws -> Float {
    guard let value = number(), value > 0 else { throw error("expected a number above 0") }
    return value
  }

  func notNegative() throws -> Float {
    guard let value = number(), value >= 0 else { throw error("expected 0 or a number above it") }
    return value
  }

  /// A number from 0 to 1, 1 excluded.
  func share() throws -> Float {
    guard let value = number(), value >= 0, value < 1 else {
      throw error("expected a number from 0 to below 1")
    }
    return value
  }

  func number(_ range: ClosedRange<Double>) throws -> Double {
    guard let value = node.float, range.contains(value) else {
      throw error("expected a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// Nil unless the number can be a Float other than by becoming zero.
  private func number() -> Float? {
    guard let value = node.float, value.isFinite, Float(value).isFinite, value == 0 || Float(value) != 0
    else { return nil }
    return Float(value)
  }

  func sizes(_ range: ClosedRange<Int>, most: Int) throws -> [Int] {
    guard case .sequence(let sequence) = node else {
      throw error("expected a list of layer sizes such as [512, 256, 16]")
    }
    let values = sequence.map { $0.int ?? -1 }
    guard !values.isEmpty, values.count <= most, values.allSatisfy(range.contains) else {
      throw error(
        "expected a list of 1 to \(most) layer sizes from \(range.lowerBound) to \(range.upperBound), such as"
          + " [512, 256, 16]")
    }
    return values
  }
}
