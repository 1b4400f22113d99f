import Primitives

/// A finished dataset on disk. Opening reads the manifest only; it costs nothing by samples or rows.
public final class Dataset: Sendable {
  public let path: String
  public let manifest: Manifest

  /// - Throws: `.badInput` if `path` is not a dataset, `.corrupt` if the manifest or the size of a file is wrong,
  ///   `.unsupported` if a newer version wrote it.
  public init(opening path: String) throws {
    let manifestPath = Self.manifestPath(path)
    guard File.exists(manifestPath) else {
      let hint =
        File.exists(path)
        ? "no finished dataset here (there is no \(Manifest.fileName)); make one with preprocess"
        : "there is no dataset of this name; make one with preprocess"
      throw ChanterError(.badInput, hint, path: path)
    }
    self.path = path
    manifest = try Manifest.read(from: manifestPath)
    for split in Split.allCases {
      for (number, segment) in manifest.split(split).segments.enumerated() {
        let file = try File(reading: "\(path)/\(SegmentFormat.fileName(split, number))")
        let size = try file.size()
        guard size == segment.bytes else {
          throw ChanterError(
            .corrupt,
            "the file has \(size) bytes, the manifest says \(segment.bytes): it is truncated or foreign; "
              + "restore it or run preprocess again", path: file.path, offset: min(size, segment.bytes))
        }
      }
    }
  }

  /// The files of all batches.
  public var segmentPaths: [String] {
    Split.allCases.flatMap { split in
      manifest.split(split).segments.indices.map { "\(path)/\(SegmentFormat.fileName(split, $0))" }
    }
  }

  public var manifestPath: String { Self.manifestPath(path) }

  private static func manifestPath(_ path: String) -> String { "\(path)/\(Manifest.fileName)" }

  /// What a `Batch` must have room for to hold any batch of `split`.
  public func layout(of split: Split) -> BatchLayout {
    let part = manifest.split(split)
    return BatchLayout(
      shape: manifest.shape, maximumSamples: manifest.spans(of: split).largest,
      maximumUniqueRows: part.maximumUniqueRows, maximumEntries: part.maximumEntries)
  }

  /// A reader of one split with file descriptors and scratch memory of its own (`BatchReader.bytes(of:)`).
  public func reader(_ split: Split) throws -> BatchReader {
    try BatchReader(dataset: self, split: split)
  }

  /// The file of the raw values; not there if the dataset was written from rows.
  public var vocabularyPath: String { "\(path)/\(VocabularyFile.fileName)" }

  /// Loads the raw values into memory.
  /// - Throws: `.badInput` if the dataset was written from rows and has none.
  public func vocabulary() throws -> Vocabulary {
    let file = vocabularyPath
    guard manifest.hasVocabulary else {
      throw ChanterError(
        .badInput, "this dataset has no vocabulary: it was written from row numbers", path: path)
    }
    let vocabulary = try VocabularyFile.load(file)
    guard vocabulary.identity == manifest.vocabularyIdentity, vocabulary.tables == manifest.tables else {
      throw ChanterError(
        .mismatch, "the vocabulary belongs to another dataset; restore the right file", path: file)
    }
    return vocabulary
  }
}
