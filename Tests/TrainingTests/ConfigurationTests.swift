import BatchStore
import Foundation
import Models
import Primitives
import TestSupport
import Testing

@testable import Training

@Suite struct ConfigurationTests {
  private static let files = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../data/configs").standardizedFileURL

  private func read(_ text: String, _ overrides: String...) throws -> Configuration {
    try withTemporaryDirectory { directory in
      let file = directory.appendingPathComponent("c.yaml")
      try Data(text.utf8).write(to: file)
      return try ConfigurationReader.read(path: file.path, overrides: overrides)
    }
  }

  @Test func everyModelHasAnExampleThatReadsBackAsPrinted() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.files.path)
      .filter { $0.hasSuffix(".yaml") }
    var kinds: Set<ModelKind> = []
    for name in names {
      let configuration = try ConfigurationReader.read(path: Self.files.appendingPathComponent(name).path)
      kinds.insert(configuration.model.network.kind)
      let again = try read(configuration.text)
      #expect(again.model == configuration.model && again.run == configuration.run, "\(name)")
    }
    #expect(kinds == Set(ModelKind.allCases))
  }

  @Test func everyModelAndOptimizerReadsBackAsPrinted() throws {
    for kind in ModelKind.allCases {
      for rule in RowOptimizer.Rule.allCases {
        let text = """
          model: \(kind.rawValue)
          rows:
            optimizer: \(rule.rawValue)
            l2: 0.001
          dense:
            optimizer: \(rule == .rowwiseAdagrad ? "sgd" : rule.rawValue)
            learning_rate: 0.25
          """
        let configuration = try read(text)
        #expect(configuration.model.rows.l2 == 0.001 && configuration.model.dense.learningRate == 0.25)
        #expect(try read(configuration.text).model == configuration.model)
        #expect(configuration.model.differences(from: configuration.model).isEmpty)
      }
    }
  }

  @Test(arguments: [
    ("model: dlrn", 1, "lr, fm, mlp, dlrm, wide_deep, deepfm, dcn, dcn_v2"),
    ("model: lr\ndimension: 8", 2, "model `lr` has no such key; its keys are model, pooling"),
    ("model: mlp\ntop: [1]", 2, "model `mlp` has no such key"),
    ("model: dlrm\nhidden: [8]", 2, "its keys are model, dimension, bottom, top, interaction"),
    ("model: mlp\nactivation: swish", 2, "relu, sigmoid, tanh, leaky_relu, gelu"),
    ("model: mlp\ndropout: 1", 2, "expected a number from 0 to below 1"),
    ("model: mlp\nbatch_norm: maybe", 2, "true or false"),
    ("model: mlp\nhidden: 400", 2, "list of layer sizes"),
    ("model: mlp\nhidden: [400, 0]", 2, "from 1 to 65536"),
    ("model: dcn_v2\nstructure: both", 2, "parallel, stacked"),
    ("model: dlrm\ninteraction: sum", 2, "dot, cat"),
    ("pooling: max", 1, "sum, mean"),
    ("dimension: 5000", 1, "from 1 to 4096"),
    ("dimensions:\n  C1: 0", 2, "from 1 to 4096"),
    ("rows:\n  optimizer: lamb", 2, "sgd, adagrad, rowwise_adagrad, adam, adamw"),
    ("dense:\n  optimizer: rowwise_adagrad", 2, "sgd, adagrad, adam, adamw"),
    ("rows:\n  optimizer: sgd\n  epsilon: 1.0e-8", 3, "rows.learning_rate, rows.l2"),
    ("rows:\n  optimizer: adam\n  weight_decay: 0.1", 3, "unknown key for optimizer `adam`"),
    ("rows:\n  optimizer: sgd\n  momentum: 0.9", 3, "unknown key for optimizer `sgd`"),
    ("dense:\n  optimizer: adam\n  beta1: 1", 3, "expected a number from 0 to below 1"),
    ("dimensions:\n  C1:\n    a: 4", 2, "dimensions.C1: expected a value"),
    ("clip_norm: -1", 1, "expected 0 or a number above it"),
    ("clip_norm: 1.0e-60", 1, "expected 0 or a number above it"),
  ])
  func errorsNameKeyLineAndWhatIsAllowed(text: String, line: Int, says: String) throws {
    let error = #expect(throws: ChanterError.self) { try read(text) }
    #expect(error?.line == line && error?.path?.hasSuffix("c.yaml") == true)
    #expect(error?.message.contains(says) == true, "\(String(describing: error))")
  }

  @Test func theCommandLineMayChooseAnotherModelOrOptimizerThanTheFile() throws {
    let text = "model: dlrm\nbottom: [8, 16]\nrows:\n  optimizer: adagrad\n  epsilon: 1.0e-6\n"
    let configuration = try read(text, "model=lr", "rows.optimizer=sgd")
    #expect(configuration.model.network.kind == .logisticRegression)
    #expect(!configuration.text.contains("bottom") && !configuration.text.contains("epsilon: 1e-06"))
    let error = #expect(throws: ChanterError.self) { try read(text, "model=lr", "bottom=[16]") }
    #expect(error?.message.hasPrefix("--set bottom: ") == true)
  }

  @Test func whatOnlyTheDatasetShowsHasItsLineToo() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try MixedDataset.write(to: path, batches: 2, batchSize: 16)
      for (text, line, says) in [
        ("model: dlrm\nbottom: [8, 5]\ndimension: 4\n", 2, "the last layer is 5; it must be the dimension 4"),
        ("model: fm\ndimensions:\n  C9: 4\n", 3, "its tables are C1, C2, C3"),
        ("model: dcn_v2\ncross_rank: 500\n", 2, "saves nothing"),
      ] {
        let configuration = try read(text)
        let error = #expect(throws: ChanterError.self) { try Harness(path, configuration) }
        #expect(error?.line == line && error?.path?.hasSuffix("c.yaml") == true, "\(text)")
        #expect(error?.message.contains(says) == true, "\(String(describing: error))")
      }
    }
  }

  @Test func layersThatNobodyListedEndWithTheDimension() throws {
    #expect(try read("model: dlrm\ndimension: 8\n").model.network.bottom == [512, 256, 64, 8])
    #expect(try read("model: dlrm\n", "dimension=4").model.network.bottom == [512, 256, 64, 4])
    #expect(
      try read("model: dlrm\ndimension: 8\nbottom: [32, 16]\n").model.network.bottom == [32, 16])
  }

  @Test func aDefaultThatDoesNotFitNamesTheFile() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      let writer = try DatasetWriter(
        to: PendingOutput(path), tables: [TableLayout(name: "C1", rows: 5)], denseCount: 0, batchSize: 4)
      let samples = SampleBatch(tableCount: 1, denseCount: 0, capacity: 4)
      samples.sampleCount = 4
      try writer.append(samples, to: .train)
      _ = try writer.finish()
      let configuration = try read("model: dlrm\n")
      let error = #expect(throws: ChanterError.self) { try Harness(path, configuration) }
      #expect(error?.message.hasPrefix("interaction: dot needs two vectors") == true)
      #expect(error?.path?.hasSuffix("c.yaml") == true && error?.line == nil)
    }
  }

  /// 3^20 settings, if aliases were followed before keys are looked at.
  @Test(.timeLimit(.minutes(1))) func aliasesOfAliasesDoNotGrow() {
    let lines = (1...20).map { "a\($0): &a\($0) {p: *a\($0 - 1), q: *a\($0 - 1), r: *a\($0 - 1)}\n" }
    let error = #expect(throws: ChanterError.self) { try read("a0: &a0 {x: 1}\n" + lines.joined()) }
    #expect(error?.message.hasSuffix("expected a value, not more keys") == true)
  }

  @Test func anotherOptimizerOnResumeIsNamed() throws {
    let adam = try read("rows:\n  optimizer: adam\n").model
    let sgd = try read("rows:\n  optimizer: sgd\n  learning_rate: 0.001\n").model
    #expect(
      sgd.differences(from: adam) == [
        "rows.optimizer is sgd now and was adam", "rows.epsilon is not set now and was 1e-08",
        "rows.beta1 is not set now and was 0.9", "rows.beta2 is not set now and was 0.999",
      ])
  }
}
