import ArgumentParser
import Primitives

@main
struct Chanter: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chanter",
    abstract: "Trains recommendation models whose embedding tables do not fit in memory.",
    discussion: """
      From a click log to a trained model:
        chanter preprocess clicks.tsv --out clicks.dataset
        chanter plan clicks.dataset --config data/configs/dlrm-small.yaml --memory 1GiB
        chanter train clicks.dataset --out clicks.model --config data/configs/dlrm-small.yaml --memory 1GiB
        chanter evaluate clicks.model clicks.dataset
        chanter inspect clicks.model
        chanter predict clicks.model new.tsv > probabilities.txt

      Results go to standard output, progress and errors to standard error. Exit status: 0 done, 1 failed, 64 wrong
      usage, 130 or 143 stopped by a signal after a commit.
      """,
    version: "0.1.0",
    subcommands: [
      Generate.self, SchemaCommand.self, Preprocess.self, Rebatch.self, Plan.self, Train.self, Evaluate.self,
      Predict.self,
      Inspect.self, Digest.self, Verify.self, Check.self, Copy.self, Export.self,
    ])

  static func main() {
    Heap.keepFreedMemory()
    do {
      try CPU.requireSupported()
    } catch {
      exit(withError: error)
    }
    main(nil)
  }
}
