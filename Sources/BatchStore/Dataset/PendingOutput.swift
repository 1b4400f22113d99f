public import Foundation
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// An output directory in the making: `OUT.partial`, which becomes `OUT` only when it is whole.
///
/// A lock on a marker file inside tells a running writer from a killed one. What a killed writer left is cleared, but for work
/// files and segments where the caller wants to go on with them; a directory that is not recognisably ours is never touched.
public final class PendingOutput {
  /// A file in the unfinished directory, which others may find there.
  public static let markerName = ".chanter-partial"
  private static let workPrefix = "work-"
  /// What the marker says from just before the output is published.
  private static let published = "published\n"

  /// The name that the output will have.
  public let path: String
  /// Where to write until then.
  public let directory: String
  private let marker: Int32
  private let folder: String?
  private var isPublished = false

  /// - Parameters:
  ///   - keepingWork: whether work files and segments that a killed writer left stay there.
  ///   - folder: name of a folder that a killed writer may have left there; no other one is cleared.
  /// - Throws: `.exists` if `path` is there, if another process is writing it, or if `path.partial` is a directory
  ///   of somebody else's. Nothing more is removed then.
  public init(_ path: String, keepingWork: Bool = false, folder: String? = nil) throws {
    var trimmed = path
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    let directory = trimmed + ".partial"
    self.path = trimmed
    self.directory = directory
    self.folder = folder
    guard !File.exists(trimmed) else {
      Self.removeLeftWork(in: trimmed)
      throw ChanterError(.exists, "the output exists; remove it or choose another name", path: trimmed)
    }
    let isNew = mkdir(directory, 0o755) == 0
    if !isNew {
      guard errno == EEXIST else { throw File.failure("cannot create", directory) }
      let entries = try Self.entries(of: directory)
      guard entries.isEmpty || entries.contains(Self.markerName) else {
        throw ChanterError(
          .exists, "needed for the unfinished output, but it is not one of Chanter's; move it away",
          path: directory)
      }
    }
    marker = try Self.lock(directory: directory, output: trimmed)
    do {
      guard ftruncate(marker, 0) == 0 else { throw File.failure("cannot write", file(Self.markerName)) }
      try remove {
        !keepingWork || !$0.hasPrefix(Self.workPrefix) && !$0.hasSuffix(SegmentFormat.fileSuffix)
      }
    } catch {
      leave()
      throw error
    }
  }

  /// Opens and locks the marker, which is then known to lie in `directory` still.
  private static func lock(directory: String, output: String) throws -> Int32 {
    let path = "\(directory)/\(markerName)"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw File.failure("cannot create", path) }
    // The directory may have been published or cleared between opening and locking its marker.
    guard File.lock(descriptor, named: path), !File.exists(output) else {
      close(descriptor)
      throw ChanterError(.exists, "another process is writing this output; wait for it", path: output)
    }
    return descriptor
  }

  deinit {
    if !isPublished { discard() }
    close(marker)
  }

  /// Full path of a file inside.
  public func file(_ name: String) -> String { "\(directory)/\(name)" }

  /// Full path of a file inside that is not part of the output: it goes when the output is published.
  public func workFile(_ name: String) -> String { file(Self.workPrefix + name) }

  /// Writes a work file so that it is there whole or not at all, and on the disk when this returns.
  public func writeWork(_ name: String, _ bytes: Data) throws {
    let partial = workFile(name) + ".partial"
    File.remove(partial)
    let target = try File(creating: partial)
    try bytes.withUnsafeBytes { try target.write($0) }
    try target.synchronize()
    try File.overwrite(workFile(name), with: partial)
  }

  /// Bytes of all files so far.
  public func workBytes() throws -> Int {
    try Self.entries(of: directory).reduce(0) { $0 + (File.regularSize(file($1)) ?? 0) }
  }

  /// Makes the names durable and gives the directory its final name. The files must have been synchronised.
  public func publish() throws {
    try File.synchronizeDirectory(directory)
    // Only whoever finds work beside the output needs it, so a disk that is full by now takes no finished output away.
    _ = pwrite(marker, Self.published, Self.published.utf8.count, 0)
    try File.move(directory, to: path)
    isPublished = true
    Self.removeWork(in: path)
  }

  /// Finishes what a process was killed in after it had published its output; an unfinished one that was given another name stays as
  /// it is.
  private static func removeLeftWork(in path: String) {
    let name = "\(path)/\(markerName)"
    let marker = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
    guard marker >= 0 else { return }
    defer { close(marker) }
    guard File.lock(marker, named: name), (try? String(contentsOfFile: name, encoding: .utf8)) == published
    else {
      return
    }
    removeWork(in: path)
  }

  /// Removes what is not part of a published output; a process that is killed here leaves it to the next that finds the output.
  private static func removeWork(in path: String) {
    guard let names = try? entries(of: path), names.contains(markerName) else { return }
    for name in names where name.hasPrefix(workPrefix) { unlink("\(path)/\(name)") }
    unlink("\(path)/\(markerName)")
  }

  /// Leaves the unfinished output to a later process, as if this one had been killed.
  public func leave() { isPublished = true }

  /// Removes the unfinished output. Also happens when the object goes away unpublished.
  public func discard() {
    guard !isPublished else { return }
    isPublished = true
    // The marker stays beside whatever cannot be removed here, so that the next run recognises and clears it.
    guard (try? clear()) != nil else { return }
    unlink(file(Self.markerName))
    rmdir(directory)
  }

  /// Removes everything but the marker.
  public func clear() throws { try remove { _ in true } }

  /// Removes what has a name that is wanted so, but never the marker.
  func remove(_ isWanted: (String) -> Bool) throws {
    for name in try Self.entries(of: directory) where name != Self.markerName && isWanted(name) {
      if unlink(file(name)) == 0 { continue }
      guard errno == EISDIR, name == folder else { throw File.failure("cannot remove", file(name)) }
      for inner in try Self.entries(of: file(name)) { unlink(file(name) + "/" + inner) }
      guard rmdir(file(name)) == 0 else { throw File.failure("cannot remove", file(name)) }
    }
  }

  private static func entries(of directory: String) throws -> [String] {
    guard let stream = opendir(directory) else { throw File.failure("cannot list", directory) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }
}
