#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A file in the making, which gets its name only when it is whole. Until then it lies beside it under a name of its own,
/// `NAME.chanter-unfinished`; what a killed process left there is written anew.
public final class NewFile {
  public let path: String
  public let file: File
  private var isPublished = false

  /// - Throws: `.exists` if `path` is there, or if another process is making it.
  public init(_ path: String) throws {
    if File.exists(path) { throw File.outputExists(path) }
    self.path = path
    file = try File(lockingUnfinished: path + ".chanter-unfinished", of: path)
  }

  deinit { if !isPublished { unlink(file.path) } }

  /// Makes the bytes durable and gives the file its name.
  public func publish() throws {
    try file.synchronize()
    try File.move(file.path, to: path)
    isPublished = true
  }
}
