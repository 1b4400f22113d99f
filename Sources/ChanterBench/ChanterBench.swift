import ArgumentParser

/// Workloads of the table store for tools/bench, which runs them beside the disk's own limits. One process each, so that a
/// cold one starts with nothing of the model in memory.
@main
struct ChanterBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ChanterBench", abstract: "Workloads of the table store; each prints one JSON object.",
    subcommands: [Fill.self, Commit.self, Compact.self, Fetch.self])
}

struct ModelArguments: ParsableArguments {
  @Argument(help: "Model directory.") var path: String
  @Option(help: "Rows of its one table.") var rows: UInt32 = 8_000_000
}

struct CacheOption: ParsableArguments {
  @Flag(help: "Drop the model from the system's cache first.") var cold = false
}
