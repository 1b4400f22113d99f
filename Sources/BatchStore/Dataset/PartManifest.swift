import Primitives

/// What one `preprocess` added to a dataset: the first made it, each further one appended.
///
/// Its identities and rows are those of the dataset that ended with it, which is how a model that was trained on that one is known.
public struct PartManifest: Codable, Equatable, Sendable {
  public internal(set) var vocabularyIdentity: String
  public internal(set) var batchingIdentity: String
  /// Of every table.
  public internal(set) var rows: [UInt32]
  /// Samples of this part alone.
  public internal(set) var train: Int
  public internal(set) var valid: Int
  public internal(set) var holdout: Int

  public func samples(_ split: Split) -> Int {
    switch split {
    case .train: train
    case .valid: valid
    case .holdout: holdout
    }
  }
}

extension Manifest {
  public static let maximumParts = 4096

  /// Which samples the batches of `split` hold.
  public func spans(of split: Split) -> BatchSpans { spans(of: split, parts: parts.count) }

  /// Batches of `split` in the first `parts` parts.
  public func batches(of split: Split, parts: Int) -> Int { spans(of: split, parts: parts).batches }

  private func spans(of split: Split, parts: Int) -> BatchSpans {
    BatchSpans(self.parts[..<parts].map { $0.samples(split) }, batchSize: batchSize)
  }

  /// Of the dataset without what was appended last to it, and so on back to the first.
  public var ancestors: ArraySlice<PartManifest> { parts.dropLast() }

  /// Vocabularies that a dataset's can extend.
  static let maximumAncestors = 1 << 16

  /// Identities of all vocabularies that the dataset's extends, each the parent of the next.
  public var vocabularyAncestors: [String] { earlierVocabularies + ancestors.map(\.vocabularyIdentity) }

  /// Whether the earlier vocabularies may be what they are called: a vocabulary extends none of its descendants.
  var ancestorsAreSound: Bool {
    func isIdentity(_ text: String) -> Bool {
      text.utf8.count == 32
        && text.utf8.allSatisfy {
          (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
    }
    let earlier = Set(earlierVocabularies)
    return earlierVocabularies.count + parts.count <= Self.maximumAncestors
      && earlier.count == earlierVocabularies.count && earlier.allSatisfy(isIdentity)
      && parts.allSatisfy { !earlier.contains($0.vocabularyIdentity) }
  }

  /// What is wrong with the parts, or nil.
  var partsFault: String? {
    guard let last = parts.last, parts.count <= Self.maximumParts,
      last.vocabularyIdentity == vocabularyIdentity, last.batchingIdentity == batchingIdentity
    else { return "list of parts" }
    var before = [UInt32](repeating: 0, count: tables.count)
    for part in parts {
      let mostSamples = Int(UInt32.max) * batchSize
      guard Split.allCases.allSatisfy({ (0...mostSamples).contains(part.samples($0)) }) else {
        return "number of samples"
      }
      guard part.rows.count == tables.count, zip(before, part.rows).allSatisfy({ $0 <= $1 }) else {
        return "number of rows"
      }
      before = part.rows
    }
    return before == tables.map(\.rows) ? nil : "number of rows"
  }
}
