/// The errors of tasks that a `WorkerPool` runs side by side, of which the first in task order is thrown in the end.
///
/// Unchecked `Sendable`: each task writes its own place, and `rethrow` reads once all have ended.
public final class Failures: @unchecked Sendable {
  private let failures: UnsafeMutableBufferPointer<(any Error)?>

  public init(_ tasks: Int) {
    failures = .allocate(capacity: tasks)
    failures.initialize(repeating: nil)
  }

  deinit {
    failures.deinitialize()
    failures.deallocate()
  }

  /// Runs `body` as task number `task`.
  public func catching(_ task: Int, _ body: () throws -> Void) {
    do { try body() } catch { failures[task] = error }
  }

  /// Throws what the first of the tasks that failed threw.
  public func rethrow() throws {
    for case let failure? in failures { throw failure }
  }
}
