import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The right to train a model: an exclusive `flock` on `trainer.lock`, which holds the trainer's process id as text.
///
/// The kernel drops the lock with the process, however it dies, so a stale file never locks anyone out.
final class TrainerLock: Sendable {
  static let fileName = "trainer.lock"
  private let descriptor: Int32

  /// - Parameter path: the model directory, which exists.
  init(path: String) throws {
    let file = path + "/" + Self.fileName
    let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure(errno, attempt: "open \(Self.fileName)", path: path) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      defer { close(descriptor) }
      guard code == EWOULDBLOCK else { throw failure(code, attempt: "lock \(Self.fileName)", path: path) }
      throw ChanterError(
        .locked, "process \(Self.holder(descriptor)) is training this model; wait for it or stop it first",
        path: path)
    }
    let text = Array("\(getpid())\n".utf8)
    guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, text, text.count, 0) == text.count else {
      let code = errno
      Self.release(descriptor)
      throw failure(code, attempt: "write \(Self.fileName)", path: path)
    }
    self.descriptor = descriptor
  }

  deinit { Self.release(descriptor) }

  /// Unlocks before closing: a process that is being spawned at this moment holds a copy of the descriptor until it
  /// has started its program, and the lock would live as long.
  private static func release(_ descriptor: Int32) {
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  private static func holder(_ descriptor: Int32) -> String {
    var bytes = [UInt8](repeating: 0, count: 20)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    let digits = bytes.prefix(max(0, count)).prefix { $0 >= 0x30 && $0 <= 0x39 }
    return digits.isEmpty ? "(unknown)" : String(decoding: digits, as: UTF8.self)
  }
}
