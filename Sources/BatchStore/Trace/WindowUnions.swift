/// Counts the distinct rows of every window of 1, 2, 4, … up to 4,096 consecutive batches of a trace in which the
/// first batch follows the last, and keeps the most of each length.
///
/// A use in batch j with its next use d batches later is the last one of its row in a window [s, s + H) exactly if
/// s <= j < s + H <= j + d: for the min(d, H) windows from s = j - H + 1 on. So one counter per start of a window and
/// length, filled with differences, holds the answer; 8 bytes by batch and length.
struct WindowUnions {
  static let longest = 4096

  private let batches: Int
  private let lengths: [Int]
  private var differences: [[Int]]
  /// Uses of the current batch by distance; the last counts all that are beyond every window.
  private var byDistance: [Int]
  private var uses = 0

  init(batches: Int) {
    self.batches = batches
    let bound = min(batches, Self.longest)
    lengths = (0..<Int.bitWidth).map { 1 << $0 }.prefix { $0 > 0 && $0 <= bound }
    differences = lengths.map { _ in [Int](repeating: 0, count: batches) }
    byDistance = [Int](repeating: 0, count: bound + 1)
  }

  /// Takes one use of the current batch, whose row is used again `distance` batches later (1 … batches).
  @inline(__always)
  mutating func count(distance: Int) {
    byDistance[min(distance, byDistance.count - 1)] += 1
    uses += 1
  }

  /// All uses of `batch` were counted.
  mutating func endBatch(_ batch: Int) {
    for (level, length) in lengths.enumerated() {
      // Starts are circular: those before 0 are at the end of the trace, and a run that crosses the end is two.
      let first = batch - length + 1
      add(uses, at: first, level)
      var remaining = uses
      for distance in 1..<length where byDistance[distance] != 0 {
        add(-byDistance[distance], at: first + distance, level)
        remaining -= byDistance[distance]
      }
      if batch + 1 < batches { add(-remaining, at: batch + 1, level) }
    }
    byDistance.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    uses = 0
  }

  /// Adds at one start. What starts before 0 holds from `start + batches` to the end, and then from 0 on as the plain
  /// prefix sum goes: hence both places.
  private mutating func add(_ value: Int, at start: Int, _ level: Int) {
    if start < 0 {
      differences[level][start + batches] += value
      differences[level][0] += value
    } else {
      differences[level][start] += value
    }
  }

  /// The most distinct rows of any window, by length.
  func largest() -> [Int] {
    differences.map { column in
      var sum = 0
      var most = 0
      for difference in column {
        sum += difference
        most = max(most, sum)
      }
      return most
    }
  }
}
