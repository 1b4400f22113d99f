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
  static func leastMemory(_ layout: RowLayout) -> Int {
    MemoryCosts.openStoreBytes + MemoryCosts.copyBytes(blocks: leastGroup, layout: layout)
  }

  /// Copies the last commit of `store`.
  func replace(with store: ModelStore) throws -> Result {
    let clock = ContinuousClock()
    let start = clock.now
    let target = "\(modelPath)/\(Self.directoryName)"
    let partial = target + ".partial"
    let files = FileManager.default
    do {
      if File.exists(partial) { try files.removeItem(atPath: partial) }
      try files.createDirectory(atPath: partial, withIntermediateDirectories: false)
    } catch {
      throw ChanterError(.io, "cannot make room for the copy: \(error.localizedDescription)", path: partial)
    }
    let bytesOfGroup = MemoryCosts.copyBytes(blocks: Self.leastGroup, layout: store.layout)
    let groups = max(1, (memory - MemoryCosts.openStoreBytes) / bytesOfGroup)
    _ = try Snapshot(store).copy(to: partial, groupBlocks: groups * Self.leastGroup)
    try VocabularyLink.copy(from: modelPath, to: partial)
    try MetricsLog.copy(from: modelPath, to: partial)
    let bytes = try File(reading: "\(partial)/\(ModelStore.dataFile)").size()
    try File.synchronizeDirectory(partial)
    try File.replace(target, with: partial)
    // What was the best before; the next copy removes it where this fails.
    try? files.removeItem(atPath: partial)
    return Result(path: target, bytes: bytes, seconds: (clock.now - start) / .seconds(1))
  }
}
