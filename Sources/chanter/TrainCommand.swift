import ArgumentParser
import Lookahead
import Primitives
import Training

struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train a model on a dataset, or go on with one from its last commit.",
    discussion: """
      Rows live on disk; --memory bounds everything the run keeps in memory. The model that a number of batches gives
      is bit-identical for every memory, lookahead, policy and thread count, and after any interruption: stop it with
      Ctrl-C or kill it, then run the same command again.

      Examples:
        chanter train clicks.dataset --out clicks.model --config data/configs/dlrm.yaml --memory 4GiB
        chanter train clicks.dataset --out clicks.model --config data/configs/dlrm.yaml --memory 8GiB --epochs 2
        chanter train clicks.dataset --out try.model --config data/configs/dlrm-small.yaml --memory 256MiB \\
          --set rows.learning_rate=0.1 --seed 7
        chanter train clicks.dataset --out plain.model --config data/configs/dlrm-small.yaml --in-memory

      --valid-every scores the validation split at a batch boundary, from the commit there, with a share of --memory that
      `chanter plan` shows. Results go to standard error and to metrics.jsonl in the model's folder; --patience stops
      training early, --keep-best keeps the best model in its folder `best`. What is decided is committed, so that a run
      that was killed goes on to the same end.

      With --negative-rate, evaluate and predict correct for the negatives that the log left out; validations during training
      measure the log as it is.

      --from begins a new model with another one's rows and dense parameters; rows need the same dimension, the dense
      parameters start fresh where layers differ in shape, and optimizer state starts fresh always.

      Examples:
        chanter train clicks.dataset --out m --config data/configs/dlrm.yaml --memory 4GiB --epochs 20 \\
          --valid-every epoch --patience 2 --keep-best
        chanter train clicks.dataset --out m --config data/configs/dlrm.yaml --memory 4GiB \\
          --valid-every 5000 --metric grouped_auc --group C1 --max-batches 100000
        chanter train clicks.dataset --out m --config data/configs/dlrm.yaml --memory 4GiB \\
          --set schedule.type=polynomial --set schedule.warmup_batches=2750 --set schedule.decay_start=49315 \\
          --set schedule.decay_batches=27772
        chanter train sampled.dataset --out m --config data/configs/dlrm.yaml --memory 4GiB --negative-rate 0.1
        chanter train tuesday.dataset --out tuesday.model --config data/configs/dlrm.yaml --memory 4GiB \\
          --from monday.model
      """)

  @Argument(help: "Dataset made by preprocess.") var dataset: String
  @Option(help: "The model: a directory that is made, or gone on with.") var out: String
  @OptionGroup var options: RunOptions
  @Option(help: "Bytes that the run may take, such as 4GiB. The least that works is named if it is less.")
  var memory: MemorySize?
  @Flag(help: "Keep all rows in memory and train one batch after the other, without planner or cache.")
  var inMemory = false
  @OptionGroup var output: FormatOption

  func validate() throws {
    if memory == nil, !inMemory {
      throw ValidationError("give --memory SIZE (such as 4GiB), or --in-memory to keep all rows in memory")
    }
  }

  func run() throws {
    let configuration = try options.read()
    Interrupt.install()

    let display = TrainingDisplay(format: output.format)
    var request = TrainingRequest(
      datasetPath: dataset, modelPath: out, configuration: configuration, memory: memory?.bytes)
    request.isInMemory = inMemory
    request.origin = options.control.from
    request.stop = Interrupt.stop
    request.started = { display.start($0, configuration) }
    request.progressed = { display.progress($0) }
    request.scored = { display.scored($0, of: $1) }
    request.validated = { display.validated($0) }
    let summary = try request.run()
    try display.end(summary, model: out, configuration.run)
    if summary.end == .interrupted { throw Interrupt.exitCode }
  }
}
