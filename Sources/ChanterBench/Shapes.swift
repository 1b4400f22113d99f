import ArgumentParser

/// The shapes of a model with the tables of the Criteo-Kaggle log.
struct ShapeOptions: ParsableArguments {
  @Option(help: "Layers over the dense features, such as 512-256-64-16; the last one is the dimension.")
  var bottom = "512-256-64-16"
  @Option(help: "Layers over the interactions; the last one is 1.") var top = "512-256-1"
  @Option(help: "The model, as a configuration names it.") var model = "dlrm"
  @Option(
    help: "Outputs of the hidden layers of other models than dlrm, whose --bottom only says the dimension.")
  var hidden = "400-400-400"
  @Option(help: "Samples of a batch.") var batch = 2_048
  @Option(help: "Compute threads.") var threads = 2

  static let denseCount = 13
  /// Rows of the tables of the Criteo-Kaggle log, as DLRM's reference numbers them.
  static let kaggleRows = [
    1460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5_683, 8_351_593, 3_194, 27, 14_992,
    5_461_306, 10, 5_652, 2_173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572,
  ]

  func sizes(_ text: String) throws -> [Int] {
    try text.split(separator: "-").map {
      guard let size = Int($0), size > 0 else {
        throw ValidationError("`\(text)` is not a list such as 512-256-1")
      }
      return size
    }
  }

  func dimension() throws -> Int {
    guard let last = try sizes(bottom).last else { throw ValidationError("--bottom is empty") }
    return last
  }

  func validate() throws {
    guard batch > 0, threads > 0 else { throw ValidationError("--batch and --threads must be positive") }
    guard try sizes(top).last == 1 else { throw ValidationError("--top must end in 1") }
    _ = try dimension()
  }
}
