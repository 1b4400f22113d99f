import Foundation
import Primitives
import TableStore

/// The model as it was at its best validation: a compacted model of its own in the folder `best` of the model's, replaced
/// as a whole at each improvement. The run that trains the model is the only one to touch it.
public struct BestCopy {
  static let directoryName = "best"
  let modelPath: String
  /// Bytes that copying may take.
  let memory: Int

  public struct Result: Sendable {
    public let path: String
    public let bytes: Int
    public let seconds: Double
  }

  private static let leastGroup = 64

  /// The least memory that copying works with.
  static func leastMemory(_ layout: RowLayout, denseRecordBytes: Int) -> Int {
    fixedBytes(layout, denseRecordBytes) + MemoryCosts.copyBytes(blocks: leastGroup, layout: layout)
  }

  /// What copying takes beside rows: an open store, the dense record and its pages.
  private static func fixedBytes(_ layout: RowLayout, _ denseRecordBytes: Int) -> Int {
    MemoryCosts.openStoreBytes + denseRecordBytes
      + MemoryCosts.commitBytes(rows: 0, layout: layout, denseBytes: denseRecordBytes)
  }

  private var target: String { "\(modelPath)/\(Self.directoryName)" }
  private var partial: String { target + ".partial" }

  /// Removes what a run that was killed while it copied has left.
  func removePartial() throws {
    guard File.exists(partial) else { return }
    do {
      try FileManager.default.removeItem(atPath: partial)
    } catch {
      throw ChanterError(
        .io, "cannot remove what is left of a copy: \(error.localizedDescription)", path: partial)
    }
  }

  /// Copies the last commit of `store`.
  func replace(with store: ModelStore) throws -> Result {
    let clock = ContinuousClock()
    let start = clock.now
    try removePartial()
    do {
      let bytes = try writePartial(store)
      try File.replace(target, with: partial)
      // What was the best before; the next run removes it where this fails.
      try? removePartial()
      return Result(path: target, bytes: bytes, seconds: (clock.now - start) / .seconds(1))
    } catch {
      // Where the disk is full, half a copy would only keep it so.
      try? removePartial()
      throw error
    }
  }

  /// - Returns: the size of the copy's data file.
  private func writePartial(_ store: ModelStore) throws -> Int {
    do {
      try FileManager.default.createDirectory(atPath: partial, withIntermediateDirectories: false)
    } catch {
      throw ChanterError(.io, "cannot make room for the copy: \(error.localizedDescription)", path: partial)
    }
    let snapshot = try Snapshot(store)
    let bytesOfGroup = MemoryCosts.copyBytes(blocks: Self.leastGroup, layout: store.layout)
    let left = memory - Self.fixedBytes(store.layout, snapshot.state.denseBytes)
    let groups = max(1, left / bytesOfGroup)
    _ = try snapshot.copy(to: partial, groupBlocks: groups * Self.leastGroup)
    try VocabularyLink.copy(from: modelPath, to: partial)
    try MetricsLog.copy(from: modelPath, to: partial)
    let bytes = try File(reading: "\(partial)/\(ModelStore.dataFile)").size()
    try File.synchronizeDirectory(partial)
    return bytes
  }
}
