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
      settings.append(Setting(key: key, node: node, origin: SettingOrigin(path: nil, line: nil)))
    }
    var configuration = Configuration()
    let modelKeys = try ModelKeys(settings, defaults: configuration.model)
    modelKeys.begin(&configuration.model)
    for setting in settings {
      configuration.origins[setting.key] = setting.origin
      if try modelKeys.apply(setting, to: &configuration.model) { continue }
      if try apply(setting, to: &configuration.control) { continue }
      if try apply(setting, to: &configuration.run) { continue }
      throw setting.error(
        "unknown key; the keys are \((modelKeys.names + controlKeys + runKeys).joined(separator: ", "))")
    }
    modelKeys.finish(&configuration.model)
    try check(configuration.control, settings)
    if configuration.run.keepsBest, configuration.control.validEvery == nil {
      throw ChanterError(.badInput, "keep_best: needs valid_every, such as epoch")
    }
    return configuration
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
        // Also what keeps aliases of aliases from growing without end.
        guard prefix.isEmpty else {
          throw ChanterError(.badInput, "\(key): expected a value, not more keys", path: path, line: line)
        }
        settings += try flatten(inner, prefix: key + ".", path: path)
      } else {
        settings.append(Setting(key: key, node: value, origin: SettingOrigin(path: path, line: line ?? 1)))
      }
    }
    return settings
  }

  private static let runKeys = ["epochs", "max_batches", "keep_best", "lookahead", "policy", "threads"]

  /// Applies `setting`; false if it is no key of a run.
  private static func apply(_ setting: Setting, to run: inout RunConfiguration) throws -> Bool {
    switch setting.key {
    case "epochs": run.epochs = try setting.integer(epochCounts)
    case "max_batches":
      let count = try setting.integer(batchCounts)
      run.maximumBatches = count == 0 ? nil : count
    case "keep_best": run.keepsBest = try setting.bool()
    case "lookahead": run.lookahead = try setting.integer(lookaheads)
    case "policy": run.policy = try setting.choice(EvictionPolicy.self)
    case "threads": run.threads = try setting.integer(threadCounts)
    default: return false
    }
    return true
  }
}
