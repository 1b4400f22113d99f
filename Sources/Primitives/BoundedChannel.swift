/// A queue of at most `capacity` elements between two stages, first in first out.
///
/// `send` blocks while it is full, `receive` while it is empty. Closing it ends the stream: what was sent before
/// is still received, then `receive` gives nil. Closing with an error drops what is queued: from then on both ends throw
/// that error, so a failing stage stops its neighbours at once.
public final class BoundedChannel<Element: Sendable>: Sendable {
  private struct State {
    var queue: [Element] = []
    var head = 0
    var isClosed = false
    var failure: (any Error)?
  }

  public let capacity: Int
  private let monitor = Monitor(State())

  public init(capacity: Int) {
    precondition(capacity > 0)
    self.capacity = capacity
  }

  /// Returns false if the channel was closed without an error: nobody wants more.
  @discardableResult
  public func send(_ element: Element) throws -> Bool {
    try monitor.wait { state throws(any Error) -> Bool? in
      if let failure = state.failure { throw failure }
      if state.isClosed { return false }
      guard state.queue.count - state.head < capacity else { return nil }
      state.queue.append(element)
      return true
    }
  }

  /// The next element, or nil once the channel is closed and empty.
  public func receive() throws -> Element? {
    try monitor.wait { state throws(any Error) -> Element?? in
      if let failure = state.failure { throw failure }
      if state.head < state.queue.count {
        let element = state.queue[state.head]
        state.head += 1
        if state.head >= capacity {
          state.queue.removeFirst(state.head)
          state.head = 0
        }
        return .some(element)
      }
      return state.isClosed ? .some(nil) : nil
    }
  }

  /// Ends the stream. The first close decides; a failure overrides a plain close.
  public func close(throwing failure: (any Error)? = nil) {
    monitor.update { state in
      state.isClosed = true
      if state.failure == nil { state.failure = failure }
    }
  }
}
