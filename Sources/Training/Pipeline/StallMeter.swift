import Primitives

/// What training can wait for.
enum Station: Int, CaseIterable, Sendable {
  /// A batch is read and decoded.
  case decode
  case plan
  /// Rows leave the cache for the overlay, and others come back from there.
  case evict
  /// Rows are read from their blocks.
  case read
  /// A commit or a compaction becomes durable.
  case commit
  /// Waiting for the trainer itself.
  case idle
}

/// Seconds for each station.
public struct StallTimes: Equatable, Sendable {
  private var seconds = SIMD8<Double>()

  subscript(station: Station) -> Double {
    get { seconds[station.rawValue] }
    set { seconds[station.rawValue] = newValue }
  }

  public var decode: Double { self[.decode] }
  public var plan: Double { self[.plan] }
  public var evict: Double { self[.evict] }
  public var read: Double { self[.read] }
  public var commit: Double { self[.commit] }
  public var total: Double { decode + plan + evict + read + commit }

  public static func - (left: StallTimes, right: StallTimes) -> StallTimes {
    var result = left
    result.seconds -= right.seconds
    return result
  }

  static func += (left: inout StallTimes, right: StallTimes) { left.seconds += right.seconds }

  /// What a wait for a batch was for: what the prefetcher did meanwhile, and where that was waiting for a plan, what the
  /// planner did.
  init(prefetcher: StallTimes, planner: StallTimes) {
    self = prefetcher
    self[.idle] = 0
    self[.decode] = min(planner[.decode], prefetcher[.plan])
    self[.plan] = prefetcher[.plan] - self[.decode]
  }

  public init() {}
}

/// How long a thread has been at each station. The thread says where it goes; the trainer reads it around its waits.
///
/// A clock reading and an uncontended lock for each change, a few a batch. Times decide nothing.
final class StationClock: Sendable {
  private struct State {
    var times = StallTimes()
    var station = Station.idle
    var since = ContinuousClock.now

    mutating func advance() {
      let now = ContinuousClock.now
      times[station] += (now - since) / .seconds(1)
      since = now
    }
  }

  // Not the standard library's `Mutex`, whose lock the thread sanitizer cannot see.
  private let state = Monitor(State())

  func enter(_ station: Station) {
    state.update {
      $0.advance()
      $0.station = station
    }
  }

  var times: StallTimes {
    state.update {
      $0.advance()
      return $0.times
    }
  }
}
