public import ArgumentParser
public import BatchStore
public import Lookahead
import Primitives
import Training

/// A size on the command line: `64MiB`, `4g`.
struct MemorySize: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    guard let bytes = ByteSize.parse(argument), bytes > 0 else { return nil }
    self.bytes = bytes
  }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json
}

extension Split: ExpressibleByArgument {}
extension EvictionPolicy: ExpressibleByArgument {}

struct FormatOption: ParsableArguments {
  @Option(help: "How results are written to standard output.")
  var format = OutputFormat.text
}

/// The configuration file with the flags that win over it.
struct ConfigurationOptions: ParsableArguments {
  @Option(help: "Configuration file (YAML); data/configs has examples with a comment on every key.")
  var config: String

  @Option(
    name: .customLong("set"), parsing: .singleValue,
    help: ArgumentHelp(
      "Change one setting of the file, such as rows.learning_rate=0.1.", valueName: "key=value"))
  var overrides: [String] = []

  @Option(help: "Seed of the initial parameters.")
  var seed: UInt64?

  @Option(help: "Batches planned and fetched ahead; shrinks where the memory cannot hold their rows.")
  var lookahead: Int?

  func read(extra: [String] = []) throws -> Configuration {
    var settings = overrides + extra
    if let seed { settings.append("seed=\(seed)") }
    if let lookahead { settings.append("lookahead=\(lookahead)") }
    return try ConfigurationReader.read(path: config, overrides: settings)
  }

  func validate() throws {
    for pair in overrides where !pair.contains("=") {
      throw ValidationError("--set \(pair): expected key=value, such as rows.learning_rate=0.1")
    }
  }
}
