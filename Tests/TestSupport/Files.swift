public import Foundation

/// A directory of its own for one test, removed afterwards.
public func withTemporaryDirectory<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let directory = FileManager.default.temporaryDirectory
    .appendingPathComponent("chanter-test-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: directory) }
  return try body(directory)
}

/// The real data that may lie beside a checkout (`../shared/data`), or nil where it is absent; tests that need it
/// skip with a message then. The project never copies it.
public func sharedData(_ name: String) -> URL? {
  let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let file = root.deletingLastPathComponent().appendingPathComponent("shared/data/\(name)")
  return FileManager.default.fileExists(atPath: file.path) ? file : nil
}
