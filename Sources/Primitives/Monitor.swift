#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// State shared between threads, reachable only under its lock, with waiting for a condition on it.
///
/// A `Mutex` from the standard library has no condition variable, and every stage here blocks; hence this one.
/// Every change wakes all waiters: hand-offs happen per batch, never per row.
public final class Monitor<State>: @unchecked Sendable {
  // Unchecked Sendable: `state` is touched only between lock and unlock of `mutex`.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var state: State

  public init(_ initial: sending State) {
    state = initial
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` under the lock, then wakes every waiter.
  @discardableResult
  public func update<Result, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return try body(&state)
  }

  /// Reads under the lock, waking nobody.
  public func read<Result>(_ body: (State) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(state)
  }

  /// Runs `body` under the lock again after every change until it gives a value, and returns that value.
  /// `body` may change the state when it succeeds; other waiters are then woken.
  public func wait<Result, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result?
  ) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    while true {
      if let result = try body(&state) { return result }
      pthread_cond_wait(changed, mutex)
    }
  }

  /// As `wait`, but gives nil if the value has not come after `seconds`.
  public func wait<Result, Failure: Error>(
    seconds: Double, _ body: (inout State) throws(Failure) -> Result?
  ) throws(Failure) -> Result? {
    var end = timespec()
    clock_gettime(CLOCK_REALTIME, &end)
    let nanoseconds = end.tv_nsec + Int(seconds * 1e9)
    end.tv_sec += nanoseconds / 1_000_000_000
    end.tv_nsec = nanoseconds % 1_000_000_000
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    var isOver = false
    while true {
      if let result = try body(&state) {
        pthread_cond_broadcast(changed)
        return result
      }
      if isOver { return nil }
      isOver = pthread_cond_timedwait(changed, mutex, &end) != 0
    }
  }
}
