import BatchStore
import Foundation
import Primitives

/// The vocabulary beside a model, so that raw input can be scored without the dataset: a hard link to the dataset's file
/// where the file system allows it, else a copy.
enum VocabularyLink {
  private static func path(in modelPath: String) -> String { "\(modelPath)/\(VocabularyFile.fileName)" }

  /// The vocabulary file of a model, or nil for a model of a dataset that was written from row numbers.
  static func file(in modelPath: String) -> String? {
    let file = path(in: modelPath)
    return FileManager.default.fileExists(atPath: file) ? file : nil
  }

  /// Names that an interrupted creation may leave in a directory without a model.
  static let names: Set = [VocabularyFile.fileName, VocabularyFile.fileName + partialSuffix]
  private static let partialSuffix = ".partial"

  /// Puts the dataset's vocabulary into the directory of a model that is being made, in place of what an interrupted
  /// creation left there. A dataset written from row numbers has none.
  static func begin(in modelPath: String, of dataset: Dataset) throws {
    let target = path(in: modelPath)
    File.remove(target)
    if dataset.manifest.hasVocabulary { try put(path(in: dataset.path), at: target) }
  }

  /// Puts the dataset's vocabulary in place of one that it extends, also where an earlier run was killed before it could, and of one
  /// that is lost or damaged.
  static func update(in modelPath: String, of dataset: Dataset) throws {
    guard dataset.manifest.hasVocabulary else { return }
    if let file = file(in: modelPath),
      (try? VocabularyFile.statedIdentity(file)) == dataset.manifest.vocabularyIdentity
    {
      return
    }
    try put(path(in: dataset.path), at: path(in: modelPath))
  }

  /// Puts the vocabulary of one model, if it has one, into the directory of another.
  static func copy(from modelPath: String, to directory: String) throws {
    let source = path(in: modelPath)
    guard FileManager.default.fileExists(atPath: source) else { return }
    try put(source, at: path(in: directory))
  }

  private static func put(_ source: String, at target: String) throws {
    // A copy takes time: under another name until it is whole.
    let partial = target + partialSuffix
    try? FileManager.default.removeItem(atPath: partial)
    try File.duplicate(source, as: partial)
    try File.overwrite(target, with: partial)
  }

  /// Reads the whole file and throws unless it is the vocabulary with this identity; a model without one passes. Memory: a
  /// buffer.
  static func check(in modelPath: String, identity: String) throws {
    let file = path(in: modelPath)
    guard FileManager.default.fileExists(atPath: file) else { return }
    let reader = try VocabularyReader(file)
    while try reader.nextTable() != nil {
      while try reader.nextValue() != nil {}
    }
    guard try reader.finish() == identity else { throw foreign(file) }
  }

  static func load(from modelPath: String, identity: String) throws -> Vocabulary {
    guard let file = file(in: modelPath) else {
      throw ChanterError(
        .badInput,
        "this model has no vocabulary, so it can score no raw input; give a dataset to `chanter evaluate`",
        path: modelPath)
    }
    let vocabulary = try VocabularyFile.load(file)
    guard vocabulary.identity == identity else { throw foreign(file) }
    return vocabulary
  }

  private static func foreign(_ file: String) -> ChanterError {
    ChanterError(
      .mismatch,
      "this vocabulary belongs to another model; restore the right file, or give `chanter train` the model and its dataset once"
        + " more, which puts it back", path: file)
  }
}
