import Primitives

/// Counts the distinct rows of every window of 1, 2, 4, … up to 4,096 consecutive batches of a trace in which the
/// first batch follows the last, and keeps the most of each length.
///
/// A use in batch j with its next use d batches later is the last one of its row in a window [s, s + H) exactly if
/// s <= j < s + H <= j + d: for the min(d, H) windows from s = j - H + 1 on. So one counter per start of a window and
/// length, filled with differences, holds the answer. The counters lie in temporary files; going through the batches backwards
/// takes memory for those of the windows around one batch.
struct WindowUnions {
  static let longest = 4096
  /// All memory: by distance, and by length as many counters as it has batches and two blocks of 512.
  static let bytes = 1 << 18

  private let batches: Int
  private let levels: [Level]
  /// Uses of the current batch by distance; the last counts all that are beyond every window.
  private var byDistance: [Int]
  private var uses = 0

  /// - Parameter directory: where the temporary files lie.
  init(batches: Int, directory: String) throws {
    self.batches = batches
    let bound = min(batches, Self.longest)
    levels = try (0..<Int.bitWidth).map { 1 << $0 }.prefix { $0 > 0 && $0 <= bound }.map {
      try Level(length: $0, batches: batches, directory: directory)
    }
    byDistance = [Int](repeating: 0, count: bound + 1)
  }

  /// Takes one use of the current batch, whose row is used again `distance` batches later (1 … batches).
  @inline(__always)
  mutating func count(distance: Int) {
    byDistance[min(distance, byDistance.count - 1)] += 1
    uses += 1
  }

  /// All uses of `batch` were counted. Batches come from the last to the first, as often as there are partitions of the rows.
  mutating func endBatch(_ batch: Int) throws {
    try byDistance.withUnsafeBufferPointer { byDistance in
      for level in levels {
        if uses > 0 { level.add(uses, byDistance, of: batch) }
        // No earlier batch counts there.
        if batch + 1 < batches { try level.store(batch + 1) }
        if batch == 0 { try level.endPartition() }
      }
    }
    byDistance.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
    uses = 0
  }

  /// The most distinct rows of any window, by length.
  func largest() throws -> [Int] { try levels.map { try $0.largest() } }

  /// The windows of one length.
  private final class Level {
    let length: Int
    private let batches: Int
    private let file: File
    /// Counters of the starts around the current batch, by start modulo their number.
    private let ring: AlignedBuffer<Int>
    /// Counters that no batch of this partition changes any more, of starts that follow one another downwards to `leastStored`.
    private let stored: AlignedBuffer<Int>
    private var storedCount = 0
    private var leastStored = 0
    /// The counters of the same starts in the file.
    private let before: AlignedBuffer<Int>

    private static let most = 1 << 9

    init(length: Int, batches: Int, directory: String) throws {
      self.length = length
      self.batches = batches
      file = try File(temporaryIn: directory)
      try file.truncate(to: batches * MemoryLayout<Int>.stride)
      ring = AlignedBuffer(count: length + 1)
      stored = AlignedBuffer(count: Self.most)
      before = AlignedBuffer(count: Self.most)
    }

    /// Counts the uses of a batch in the windows that it is in, and ends the runs of windows that they count for.
    func add(_ uses: Int, _ byDistance: UnsafeBufferPointer<Int>, of batch: Int) {
      let (ring, count) = (ring.base, ring.count)
      var place = place(batch - length + 1)
      ring[place] += uses
      var remaining = uses
      for distance in 1..<length {
        place = place + 1 == count ? 0 : place + 1
        ring[place] -= byDistance[distance]
        remaining -= byDistance[distance]
      }
      if batch + 1 < batches { ring[place + 1 == count ? 0 : place + 1] -= remaining }
    }

    /// Starts reach from 1 - `length` to the number of batches.
    @inline(__always)
    private func place(_ start: Int) -> Int { (start + length) % ring.count }

    /// Takes the counter of a start from the ring to the file.
    func store(_ start: Int) throws {
      if storedCount == Self.most || storedCount > 0 && start + 1 != leastStored { try flush() }
      stored.base[storedCount] = ring.base[place(start)]
      ring.base[place(start)] = 0
      storedCount += 1
      leastStored = start
    }

    /// Takes what is left in the ring to the file: what starts before 0 holds from `start + batches` to the end, and then from
    /// 0 on as the plain prefix sum goes; hence both places.
    func endPartition() throws {
      let circular = 1 - length..<0
      let atZero = circular.reduce(0) { $0 + ring.base[place($1)] }
      ring.base[place(0)] += atZero
      try store(0)
      for start in circular.reversed() {
        let value = ring.base[place(start)]
        ring.base[place(start)] = 0
        if storedCount == Self.most || leastStored != start + 1 + batches { try flush() }
        stored.base[storedCount] = value
        storedCount += 1
        leastStored = start + batches
      }
      try flush()
    }

    private func flush() throws {
      guard storedCount > 0 else { return }
      let bytes = storedCount * MemoryLayout<Int>.stride
      let offset = leastStored * MemoryLayout<Int>.stride
      try file.read(at: offset, into: before.base, count: bytes)
      for position in 0..<storedCount { before.base[position] += stored.base[storedCount - 1 - position] }
      try file.write(UnsafeRawBufferPointer(start: before.base, count: bytes), at: offset)
      storedCount = 0
    }

    func largest() throws -> Int {
      var sum = 0
      var most = 0
      for first in stride(from: 0, to: batches, by: Self.most) {
        let count = min(Self.most, batches - first)
        let stride = MemoryLayout<Int>.stride
        try file.read(at: first * stride, into: before.base, count: count * stride)
        for position in 0..<count {
          sum += before.base[position]
          most = max(most, sum)
        }
      }
      return most
    }
  }
}
