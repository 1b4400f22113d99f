import BatchStore
import Primitives

extension PreprocessOptions {
  /// What the dataset that is extended takes in the output: its values, which are written again with the new ones behind them, and
  /// its segments where they cannot have a second name.
  func bytesOfBase(in output: PendingOutput) throws -> Int {
    guard let base else { return 0 }
    let values = base.manifest.hasVocabulary ? File.regularSize(base.vocabularyPath) ?? 0 : 0
    let probe = output.workFile("link")
    File.remove(probe)
    // One file tells for all: they have the same owner and lie together.
    if let file = base.segmentPaths.first, try File.link(file, as: probe) {
      File.remove(probe)
      return values
    }
    return values + Split.allCases.flatMap { base.manifest.split($0).segments }.reduce(0) { $0 + $1.bytes }
  }
}
