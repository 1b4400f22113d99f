import BatchStore
import Models
import Primitives
public import TableStore

/// Reads all of a model and reports everything that is damaged; see `ModelStore.examine`.
///
/// Beside the store it checks that the trainer's own header can be read, that the dense record has the size that follows
/// from it, and that the vocabulary is whole and the model's.
/// - Parameters:
///   - found: called with each damaged place.
///   - progress: called now and then with the bytes read so far.
public func checkModel(
  at path: String, found: (Damage) -> Void, progress: (Int) -> Void
) throws -> CheckResult {
  let result = try ModelStore.examine(at: path, found: found, progress: progress)
  guard let store = result.store else { return result }
  func report(_ part: Damage.Part, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch let error as ChanterError where [.corrupt, .mismatch, .badInput].contains(error.kind) {
      found(Damage(part, message: error.description))
    }
  }
  try report(.header) {
    let header = try ModelHeader(store.header, path: path)
    let expected = DenseRecord.byteCount(
      parameterBytes: try header.specification(tables: store.layout.tables).parameterByteCount())
    if let state = result.state, state.denseBytes != expected {
      found(
        Damage(
          .dense,
          message:
            "\(path): the dense record has \(state.denseBytes) bytes, and this model needs \(expected);"
            + " restore the model from a copy"))
    }
    try report(.vocabulary) {
      try VocabularyLink.check(in: path, identity: header.dataset.vocabulary)
    }
  }
  return result
}
