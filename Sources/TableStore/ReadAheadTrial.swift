/// Whether blocks are announced to the system before they are read, found by trying without.
///
/// Where the system holds the pages already, announcing one costs more than reading a row of it; where it does not, a read
/// that was not announced waits for the disk alone. So from time to time a few blocks are read unannounced, then more
/// and more while the reading thread never waits for the disk. What is read does not depend on it.
struct ReadAheadTrial {
  private static let smallestGroup = 4
  private static let largestGroup = 256
  private static let shortestPause = 1 << 10
  private static let longestPause = 1 << 13

  private(set) var announces = true
  /// Blocks to read before the next look at the faults.
  private(set) var group = smallestGroup
  /// Blocks to announce after a trial that failed. It doubles from one failure to the next, so that trials cost little
  /// where they never succeed.
  private var pause = shortestPause
  private var announced = 0
  private var faults = 0

  /// So many blocks were announced.
  mutating func didAnnounce(_ blocks: Int) {
    announced += blocks
    guard announced >= pause else { return }
    announces = false
    group = Self.smallestGroup
  }

  /// Blocks are about to be read unannounced.
  /// - Parameter faults: how often the thread has waited for a page from the disk so far.
  mutating func begin(faults: Int) { self.faults = faults }

  /// A group was read unannounced since `begin` or the last call.
  mutating func didReadGroup(faults: Int) {
    defer { self.faults = faults }
    if faults == self.faults {
      if group == Self.largestGroup { pause = Self.shortestPause }
      group = min(2 * group, Self.largestGroup)
    } else {
      announces = true
      announced = 0
      pause = min(2 * pause, Self.longestPause)
    }
  }
}
