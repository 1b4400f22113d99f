import ArgumentParser
import Primitives

/// Workloads for tools/bench, which runs them beside other programs and the machine's own limits. One process each: a
/// cold one starts with nothing in memory.
@main
struct ChanterBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ChanterBench", abstract: "Workloads of tools/bench; each prints JSON.",
    subcommands: [
      Fill.self, Commit.self, Compact.self, Cycles.self, Fetch.self, Trace.self, Populate.self, Step.self,
      Gemm.self, Decode.self, Ids.self, Checksum.self,
    ])

  static func main() {
    Heap.keepFreedMemory()
    main(nil)
  }
}

struct ModelArguments: ParsableArguments {
  @Argument(help: "Model directory.") var path: String
  @Option(help: "Rows of its one table.") var rows: UInt32 = 8_000_000
}

struct CacheOption: ParsableArguments {
  @Flag(help: "Drop the model from the system's cache first.") var cold = false
}
