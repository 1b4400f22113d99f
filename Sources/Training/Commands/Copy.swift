import BatchStore
import Primitives
public import TableStore

/// What a copy of a model holds.
public struct CopyResult: Sendable {
  public let state: CommitState
  public let blocks: Int
  /// Size of the copy's data file.
  public let bytes: Int
}

/// Copies a model's last commit, compacted, to a new directory; also while the model is in training.
///
/// The copy appears under its name only when it is whole and on the disk; see `Snapshot.copy` for memory and checks.
/// - Throws: `.exists` if something is at `output`, `.corrupt` for a damaged model, `.io`.
public func copyModel(
  at path: String, to output: String, progress: (_ blocks: Int) -> Void
) throws -> CopyResult {
  let store = try ModelStore.openForReading(at: path)
  let pending = try PendingOutput(output)
  let snapshot = try Snapshot(store)
  let blocks = try snapshot.copy(to: pending.directory, progress: progress)
  try VocabularyLink.copy(from: path, to: pending.directory)
  try MetricsLog.copy(from: path, to: pending.directory)
  let bytes = try File(reading: pending.file(ModelStore.dataFile)).size()
  try pending.publish()
  return CopyResult(state: snapshot.state, blocks: blocks, bytes: bytes)
}
