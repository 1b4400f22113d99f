import BatchStore
import Foundation
import Primitives

/// The vocabulary beside a model, so that raw input can be scored without the dataset: a hard link to the dataset's file
/// where the file system allows it, else a copy.
enum VocabularyLink {
  private static func path(in modelPath: String) -> String { "\(modelPath)/\(VocabularyFile.fileName)" }

  /// Puts the dataset's vocabulary into the model's directory unless it is there. A dataset written from row numbers
  /// has none.
  static func ensure(in modelPath: String, of dataset: Dataset) throws {
    let target = path(in: modelPath)
    let files = FileManager.default
    guard dataset.manifest.hasVocabulary, !files.fileExists(atPath: target) else { return }
    let source = "\(dataset.path)/\(VocabularyFile.fileName)"
    if (try? files.linkItem(atPath: source, toPath: target)) != nil { return }
    // A copy takes time: under another name until it is whole.
    let partial = target + ".partial"
    try? files.removeItem(atPath: partial)
    do {
      try files.copyItem(atPath: source, toPath: partial)
      try files.moveItem(atPath: partial, toPath: target)
    } catch {
      throw ChanterError(
        .io, "cannot copy the dataset's vocabulary into the model: \(error.localizedDescription)",
        path: target)
    }
  }

  static func load(from modelPath: String, identity: String) throws -> Vocabulary {
    let file = path(in: modelPath)
    guard FileManager.default.fileExists(atPath: file) else {
      throw ChanterError(
        .badInput, "this model has no vocabulary, so it can score datasets but no raw input", path: modelPath)
    }
    let vocabulary = try VocabularyFile.load(file)
    guard vocabulary.identity == identity else {
      throw ChanterError(
        .mismatch, "this vocabulary belongs to another model; restore the right file", path: file)
    }
    return vocabulary
  }
}
