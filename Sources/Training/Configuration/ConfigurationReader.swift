import Foundation
import Lookahead
import Primitives
import Yams

/// Reads a YAML configuration into a `Configuration`: every key known, every value checked, every error with its line.
public enum ConfigurationReader {
  public static let epochCounts = 1...1_000_000
  public static let lookaheads = 1...4096
  /// 0 is no limit.
  public static let batchCounts = 0...1_000_000_000
  /// 0 takes one for each core.
  public static let threadCounts = 0...256

  /// - Parameters:
  ///   - path: the YAML file, or nil for the defaults.
  ///   - overrides: `key=value` pairs in order; a nested key is dotted (`rows.learning_rate=0.1`). They win over the file.
  public static func read(path: String?, overrides: [String] = []) throws -> Configuration {
    var settings: [Setting] = []
    if let path {
      let text: String
      do {
        text = try String(contentsOfFile: path, encoding: .utf8)
      } catch {
        throw ChanterError(.io, "cannot read this configuration: no such file, or not UTF-8 text", path: path)
      }
      settings = try parse(text, path: path)
    }
    for override in overrides {
      guard let equals = override.firstIndex(of: "=") else {
        throw ChanterError(.badInput, "--set \(override): expected key=value, such as rows.learning_rate=0.1")
      }
      let key = String(override[..<equals])
      let value = String(override[override.index(after: equals)...])
      guard let node = try? Yams.compose(yaml: value) else {
        throw ChanterError(.badInput, "--set \(override): the value is empty or not YAML")
      }
      settings.removeAll { $0.key == key }
      settings.append(Setting(key: key, node: node, path: nil, line: nil))
    }
    var configuration = Configuration()
    for setting in settings where try !apply(setting, to: &configuration.control) {
      try apply(setting, to: &configuration)
    }
    try check(configuration.control, settings)
    if configuration.run.keepsBest, configuration.control.validEvery == nil {
      throw ChanterError(.badInput, "keep_best: needs valid_every, such as epoch")
    }
    return configuration
  }

  /// One scalar or list of the file with its dotted key.
  struct Setting {
    let key: String
    let node: Node
    let path: String?
    let line: Int?

    func error(_ message: String) -> ChanterError {
      ChanterError(.badInput, "\(line == nil ? "--set " : "")\(key): \(message)", path: path, line: line)
    }
  }

  private static func parse(_ text: String, path: String) throws -> [Setting] {
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch let error as YamlError {
      throw ChanterError(
        .badInput, "not YAML: \(error)".replacingOccurrences(of: "\n", with: " "), path: path)
    }
    guard let root else { return [] }
    guard case .mapping(let mapping) = root else {
      throw ChanterError(.badInput, "expected `key: value` lines at the top level", path: path, line: 1)
    }
    return try flatten(mapping, prefix: "", path: path)
  }

  private static func flatten(_ mapping: Node.Mapping, prefix: String, path: String) throws -> [Setting] {
    var settings: [Setting] = []
    for (name, value) in mapping {
      let key = prefix + (name.string ?? "?")
      let line = name.mark?.line
      if settings.contains(where: { $0.key == key || $0.key.hasPrefix(key + ".") }) {
        throw ChanterError(.badInput, "\(key): this key stands here twice", path: path, line: line)
      }
      if case .mapping(let inner) = value {
        settings += try flatten(inner, prefix: key + ".", path: path)
      } else {
        settings.append(Setting(key: key, node: value, path: path, line: line ?? 1))
      }
    }
    return settings
  }

  private static let keys =
    [
      "model", "dimension", "bottom", "top", "rows.optimizer", "rows.learning_rate", "rows.epsilon",
      "dense.optimizer", "dense.learning_rate", "dense.epsilon", "seed", "epochs", "lookahead", "policy",
      "threads", "max_batches", "keep_best",
    ] + controlKeys

  private static func apply(_ setting: Setting, to configuration: inout Configuration) throws {
    switch setting.key {
    case "model": _ = try choice(setting, ["dlrm"])
    case "dimension": configuration.model.dimension = try integer(setting, 1...4096)
    case "bottom": configuration.model.bottom = try sizes(setting)
    case "top": configuration.model.top = try sizes(setting)
    case "rows.optimizer":
      configuration.model.rows.optimizer = try choice(setting, ["sgd", "rowwise_adagrad"])
    case "rows.learning_rate": configuration.model.rows.learningRate = try positive(setting)
    case "rows.epsilon": configuration.model.rows.epsilon = try positive(setting)
    case "dense.optimizer": configuration.model.dense.optimizer = try choice(setting, ["sgd", "adagrad"])
    case "dense.learning_rate": configuration.model.dense.learningRate = try positive(setting)
    case "dense.epsilon": configuration.model.dense.epsilon = try positive(setting)
    case "seed": configuration.model.seed = UInt64(try integer(setting, 0...Int.max))
    case "epochs": configuration.run.epochs = try integer(setting, epochCounts)
    case "lookahead": configuration.run.lookahead = try integer(setting, lookaheads)
    case "policy":
      let name = try choice(setting, EvictionPolicy.allCases.map(\.rawValue))
      configuration.run.policy = EvictionPolicy(rawValue: name) ?? .min
    case "max_batches":
      let count = try integer(setting, batchCounts)
      configuration.run.maximumBatches = count == 0 ? nil : count
    case "keep_best":
      guard let value = setting.node.bool else { throw setting.error("expected true or false") }
      configuration.run.keepsBest = value
    case "threads": configuration.run.threads = try integer(setting, threadCounts)
    default: throw setting.error("unknown key; the keys are \(keys.joined(separator: ", "))")
    }
  }

  static func choice(_ setting: Setting, _ choices: [String]) throws -> String {
    guard let text = setting.node.string, choices.contains(text) else {
      throw setting.error(
        "`\(setting.node.string ?? "a list")` is not one of \(choices.joined(separator: ", "))")
    }
    return text
  }

  static func integer(_ setting: Setting, _ range: ClosedRange<Int>) throws -> Int {
    guard let value = setting.node.int, range.contains(value) else {
      throw setting.error("expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  static func number(_ setting: Setting, _ range: ClosedRange<Double>) throws -> Double {
    guard let value = setting.node.float, range.contains(value) else {
      throw setting.error("expected a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  static func positive(_ setting: Setting) throws -> Float {
    guard let value = setting.node.float, value.isFinite, value > 0, Float(value) > 0, Float(value).isFinite
    else {
      throw setting.error("expected a number above 0")
    }
    return Float(value)
  }

  private static func sizes(_ setting: Setting) throws -> [Int] {
    let values = setting.node.array().map { $0.int ?? 0 }
    guard !values.isEmpty, values.count <= 64, values.allSatisfy({ (1...65_536).contains($0) }) else {
      throw setting.error("expected a list of layer sizes such as [512, 256, 16]")
    }
    return values
  }
}
