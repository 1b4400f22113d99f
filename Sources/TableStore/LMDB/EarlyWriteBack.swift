import CSupport
import Primitives

/// Has the disk write while LMDB still puts the pages of a transaction into the system's cache. By itself it does one after the
/// other: it puts all of them there, and then waits for the disk to write them.
///
/// No more than a hint: LMDB's sync waits for every page as before, and learns of what failed.
enum EarlyWriteBack {
  /// Seconds from one look for changed pages to the next; a transaction that is shorter needs none.
  private static let pause = 0.002

  /// Runs `body`, which writes to the file of `descriptor`.
  static func during<Result>(_ descriptor: Int32, _ body: () throws -> Result) rethrows -> Result {
    let hasEnded = Monitor(false)
    let thread = NamedThread(ifAllowed: "write-back") {
      while hasEnded.wait(seconds: pause, { $0 ? true : nil }) == nil { chanter_start_writing(descriptor) }
    }
    defer {
      hasEnded.update { $0 = true }
      _ = thread?.join()
    }
    return try body()
  }
}
