import CSupport

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// An open file. Reads and writes are whole or an error; every error names the path and what was attempted.
///
/// Calls that take an offset may come from several threads; the sequential ones belong to one stage.
public final class File: Sendable {
  public let path: String
  public let descriptor: Int32

  private init(path: String, descriptor: Int32) {
    self.path = path
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// Opens an existing file for reading.
  public convenience init(reading path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw File.failure("cannot open", path) }
    self.init(path: path, descriptor: descriptor)
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw File.failure("cannot open", path) }
    if status.st_mode & S_IFMT == S_IFDIR {
      throw ChanterError(.badInput, "this is a directory; give a file", path: path)
    }
  }

  /// Makes a new file for writing and reading back; one that is there is an error.
  public convenience init(creating path: String) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw errno == EEXIST ? File.outputExists(path) : File.failure("cannot create", path)
    }
    self.init(path: path, descriptor: descriptor)
  }

  /// Opens a file for reading and writing at offsets, and makes it if there is none.
  public convenience init(updating path: String) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw File.failure("cannot create", path) }
    self.init(path: path, descriptor: descriptor)
  }

  /// Opens or makes the unfinished form of `target` and empties it; locked for as long as it is open.
  convenience init(lockingUnfinished path: String, of target: String) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw File.failure("cannot create", path) }
    self.init(path: path, descriptor: descriptor)
    // Between opening and locking, another process may have given the file its final name.
    guard File.lock(descriptor, named: path), !File.exists(target) else {
      throw ChanterError(.exists, "another process is writing this file; wait for it", path: target)
    }
    guard ftruncate(descriptor, 0) == 0 else { throw File.failure("cannot create", path) }
  }

  /// Opens or makes a file to be read and written in place, by one process at a time.
  public convenience init(appendingTo path: String) throws {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
    guard descriptor >= 0 else { throw File.failure("cannot open", path) }
    self.init(path: path, descriptor: descriptor)
  }

  /// Cuts off everything from byte `size` on.
  public func truncate(to size: Int) throws {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw File.failure("cannot shorten", path) }
  }

  /// Makes a file without a name in `directory`; its space is free again as soon as it is closed, however the
  /// process ends.
  public convenience init(temporaryIn directory: String) throws {
    var template = Array("\(directory)/chanter-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    guard descriptor >= 0 else { throw File.failure("cannot create a temporary file in", directory) }
    unlink(template)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    self.init(path: "\(directory)/(temporary file)", descriptor: descriptor)
  }

  /// Standard input, under the name `-`.
  public static func standardInput() throws -> File {
    let descriptor = dup(0)
    guard descriptor >= 0 else { throw failure("cannot read", "-") }
    return File(path: "-", descriptor: descriptor)
  }

  /// Bytes in the file now.
  public func size() throws -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw File.failure("cannot read the size of", path) }
    return Int(status.st_size)
  }

  /// The next bytes, at most `count` of them; 0 at the end.
  public func read(into target: UnsafeMutableRawPointer, atMost count: Int) throws -> Int {
    while true {
      #if canImport(Glibc)
        let got = Glibc.read(descriptor, target, count)
      #else
        let got = Musl.read(descriptor, target, count)
      #endif
      if got >= 0 { return got }
      if errno != EINTR { throw File.failure("cannot read", path) }
    }
  }

  /// Exactly `count` bytes from `offset`; a file that ends before is an error.
  public func read(at offset: Int, into target: UnsafeMutableRawPointer, count: Int) throws {
    var done = 0
    while done < count {
      let got = pread(descriptor, target + done, count - done, off_t(offset + done))
      if got < 0, errno == EINTR { continue }
      if got < 0 { throw File.failure("cannot read", path) }
      if got == 0 {
        throw ChanterError(
          .corrupt, "the file ends here, \(count - done) bytes are missing: it is truncated", path: path,
          offset: offset + done)
      }
      done += got
    }
  }

  /// Appends all of `bytes` at the current position.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count {
      #if canImport(Glibc)
        let put = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
      #else
        let put = Musl.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
      #endif
      if put < 0, errno == EINTR { continue }
      if put < 0 { throw File.failure("cannot write", path) }
      done += put
    }
  }

  /// Writes all of `bytes` at `offset`.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let put = pwrite(
        descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if put < 0, errno == EINTR { continue }
      if put < 0 { throw File.failure("cannot write", path) }
      done += put
    }
  }

  /// Goes on reading and writing `offset` bytes from the start.
  public func seek(to offset: Int) throws {
    guard lseek(descriptor, off_t(offset), SEEK_SET) >= 0 else { throw File.failure("cannot seek in", path) }
  }

  /// Returns once the bytes are on the disk.
  public func synchronize() throws {
    guard fsync(descriptor) == 0 else { throw File.failure("cannot write to disk", path) }
  }

  static func outputExists(_ path: String) -> ChanterError {
    ChanterError(.exists, "the output exists; remove it or choose another name", path: path)
  }

  /// An error for the system call that just failed, with the system's reason.
  public static func failure(_ action: String, _ path: String) -> ChanterError {
    ChanterError(.io, "\(action) this path: \(String(cString: strerror(errno)))", path: path)
  }
}

extension File {
  /// Takes the exclusive lock of an open file; false if another process has it, or if `path` names another file by now.
  public static func lock(_ descriptor: Int32, named path: String) -> Bool {
    var opened = stat()
    var named = stat()
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0 && fstat(descriptor, &opened) == 0
      && stat(path, &named) == 0
      && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev
  }

  /// Whether anything lies at `path`, a dangling link included.
  public static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// Returns once the names in the directory are on the disk.
  public static func synchronizeDirectory(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("cannot open", path) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure("cannot write to disk", path) }
  }

  /// Bytes of the regular file at `path`; nil for a pipe, a directory, or nothing. Opens nothing: a pipe is opened once.
  public static func regularSize(_ path: String) -> Int? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int(status.st_size)
  }

  /// Bytes of a regular file and when it was last changed, in nanoseconds; nil if there is none of this name.
  public static func regularStatus(_ path: String) -> (size: Int, modified: Int)? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return (Int(status.st_size), status.st_mtim.tv_sec &* 1_000_000_000 &+ status.st_mtim.tv_nsec)
  }

  /// Removes a file, if it is there.
  public static func remove(_ path: String) { unlink(path) }

  /// Gives the file `fresh` the name `path`, in place of one that may have it.
  public static func overwrite(_ path: String, with fresh: String) throws {
    guard rename(fresh, path) == 0 else { throw failure("cannot rename to \(path)", fresh) }
    try synchronizeDirectory(parent(of: path))
  }

  /// Gives the file `path` a second name, if the two file systems allow it.
  /// - Returns: whether they do.
  /// - Throws: `.exists` if something has the name `target`, `.io` for what would keep a copy from being made as well.
  public static func link(_ path: String, as target: String) throws -> Bool {
    #if canImport(Glibc)
      if Glibc.link(path, target) == 0 { return true }
    #else
      if Musl.link(path, target) == 0 { return true }
    #endif
    switch errno {
    // Another file system, one without second names, a file of somebody else's, or one with as many names as it can have.
    case EXDEV, EPERM, EACCES, EMLINK, EOPNOTSUPP, ENOSYS: return false
    case EEXIST: throw outputExists(target)
    default: throw failure("cannot give the name \(target) to", path)
    }
  }

  /// Gives the file `path` a second name, or where that is not possible, makes a copy of it.
  public static func duplicate(_ path: String, as target: String) throws {
    if try link(path, as: target) { return }
    let source = try File(reading: path)
    let copy = try File(creating: target)
    let buffer = AlignedBuffer<UInt8>(count: 1 << 20)
    while true {
      let count = try source.read(into: buffer.base, atMost: buffer.count)
      if count == 0 { break }
      try copy.write(UnsafeRawBufferPointer(start: buffer.base, count: count))
    }
    try copy.synchronize()
  }

  /// Bytes that an ordinary user can still write to the disk that `directory` lies on.
  public static func freeBytes(in directory: String) throws -> Int {
    var status = statvfs()
    guard statvfs(directory, &status) == 0 else { throw failure("cannot read the free space of", directory) }
    return Int(
      clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
  }

  /// The directory that `path` lies in.
  public static func parent(of path: String) -> String {
    let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  /// Gives `path` the name `target` and, where something has that name, gives it that of `path`: at no moment is nothing
  /// there. Makes the change durable.
  public static func replace(_ target: String, with path: String) throws {
    guard exists(target) else { return try move(path, to: target) }
    if chanter_rename_exchange(path, target) != 0 {
      let aside = path + ".old"
      // A file system that cannot exchange so: for a moment nothing is there.
      guard errno == EINVAL || errno == ENOSYS, rename(target, aside) == 0, rename(path, target) == 0,
        rename(aside, path) == 0
      else { throw failure("cannot exchange with \(target)", path) }
    }
    try synchronizeDirectory(parent(of: target))
  }

  /// Gives `path` the new name `target`, which must not exist, and makes the change durable.
  public static func move(_ path: String, to target: String) throws {
    if chanter_rename_new(path, target) != 0 {
      if errno == EEXIST { throw outputExists(target) }
      // A file system that cannot rename so: look first.
      guard errno == EINVAL || errno == ENOSYS else { throw failure("cannot rename to \(target)", path) }
      if exists(target) { throw outputExists(target) }
      guard rename(path, target) == 0 else { throw failure("cannot rename to \(target)", path) }
    }
    try synchronizeDirectory(parent(of: target))
  }
}
