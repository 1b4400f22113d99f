import CSupport

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A joinable thread with a name that shows in `top -H`, a debugger and a profile.
public final class NamedThread: Sendable {
  private let handle: pthread_t
  private let outcome: Monitor<(any Error)?>

  private final class Start: Sendable {
    let name: String
    let isBackground: Bool
    let body: @Sendable () throws -> Void
    let outcome: Monitor<(any Error)?>

    init(
      name: String, isBackground: Bool, body: @escaping @Sendable () throws -> Void,
      outcome: Monitor<(any Error)?>
    ) {
      self.name = name
      self.isBackground = isBackground
      self.body = body
      self.outcome = outcome
    }
  }

  /// Starts `body` on a new thread.
  /// - Parameters:
  ///   - name: cut to 15 bytes, Linux's limit.
  ///   - isBackground: runs at lower priority, in the time that other threads leave idle.
  public init(_ name: String, isBackground: Bool = false, _ body: @escaping @Sendable () throws -> Void) {
    outcome = Monitor(nil)
    let (handle, code) = Self.create(
      Start(name: String(name.prefix(15)), isBackground: isBackground, body: body, outcome: outcome))
    precondition(code == 0, "cannot start thread \(name): error \(code)")
    self.handle = handle
  }

  /// As above, for work that may be left undone: nil where the system allows no more threads.
  public init?(ifAllowed name: String, _ body: @escaping @Sendable () throws -> Void) {
    outcome = Monitor(nil)
    let (handle, code) = Self.create(
      Start(name: String(name.prefix(15)), isBackground: false, body: body, outcome: outcome))
    guard code == 0 else { return nil }
    self.handle = handle
  }

  private static func create(_ start: Start) -> (handle: pthread_t, code: Int32) {
    let start = Unmanaged.passRetained(start)
    var handle = pthread_t()
    let code = pthread_create(
      &handle, nil,
      { argument in
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        chanter_name_thread(start.name)
        if start.isBackground { chanter_lower_priority() }
        do { try start.body() } catch { start.outcome.update { $0 = error } }
        return nil
      }, start.toOpaque())
    if code != 0 { start.release() }
    return (handle, code)
  }

  /// Runs `body` with another name on the calling thread, which is called `usual` again afterwards.
  public static func renamed<Result>(_ name: String, from usual: String, _ body: () throws -> Result) rethrows
    -> Result
  {
    chanter_name_thread(name)
    defer { chanter_name_thread(usual) }
    return try body()
  }

  /// Waits for the end of the thread and returns the error it ended with, if any. Call exactly once.
  public func join() -> (any Error)? {
    pthread_join(handle, nil)
    return outcome.update { $0 }
  }
}
