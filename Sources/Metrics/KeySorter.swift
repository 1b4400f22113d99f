import Primitives

/// Sorts keys in bounded memory: in place up to the budget; beyond it sorted runs go to a temporary file without a name and
/// are merged at the end. Disk: the size of the keys.
///
/// `add` every key, then call `forEach` once.
final class KeySorter<Key: FixedWidthInteger & UnsignedInteger & BitwiseCopyable> {
  private let capacity: Int
  /// Keys, then as many for sorting. Pages that are never filled cost nothing.
  private let keys: UnsafeMutablePointer<Key>
  private let spillDirectory: String
  private var count = 0
  private var spill: File?
  /// Where each run ends in the file, in keys.
  private var runEnds: [Int] = []

  /// - Parameters:
  ///   - memoryBytes: budget; at least 256 keys are used.
  ///   - spillDirectory: where the temporary file lies if the budget is not enough.
  init(memoryBytes: Int, spillDirectory: String) {
    capacity = max(128, memoryBytes / (2 * MemoryLayout<Key>.size))
    keys = .allocate(capacity: 2 * capacity)
    self.spillDirectory = spillDirectory
  }

  deinit { keys.deallocate() }

  func add(_ key: Key) throws {
    if count == capacity { try spillRun() }
    keys[count] = key
    count += 1
  }

  /// Calls `body` with every key in ascending order.
  func forEach(_ body: (Key) throws -> Void) throws {
    guard spill != nil else {
      sort()
      for position in 0..<count { try body(keys[position]) }
      return
    }
    try spillRun()
    try merge(body)
  }

  /// Sorts the keys in memory, by bytes from the lowest. A key has an even number of bytes, so the result ends where it
  /// began.
  private func sort() {
    var source = keys
    var target = keys + capacity
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 256) { starts in
      for shift in stride(from: 0, to: Key.bitWidth, by: 8) {
        starts.initialize(repeating: 0)
        for position in 0..<count { starts[Self.digit(source[position], shift)] += 1 }
        var total = 0
        for digit in 0..<256 {
          let size = starts[digit]
          starts[digit] = total
          total += size
        }
        for position in 0..<count {
          let digit = Self.digit(source[position], shift)
          target[starts[digit]] = source[position]
          starts[digit] += 1
        }
        swap(&source, &target)
      }
    }
  }

  @inline(__always)
  private static func digit(_ key: Key, _ shift: Int) -> Int {
    Int(truncatingIfNeeded: key >> Key(truncatingIfNeeded: shift)) & 0xFF
  }

  private func spillRun() throws {
    sort()
    let file = try spill ?? File(temporaryIn: spillDirectory)
    spill = file
    try file.write(UnsafeRawBufferPointer(start: keys, count: MemoryLayout<Key>.size * count))
    runEnds.append((runEnds.last ?? 0) + count)
    count = 0
  }

  /// Merges the runs through equal shares of the key memory.
  private func merge(_ body: (Key) throws -> Void) throws {
    guard let spill else { return }
    guard runEnds.count <= 2 * capacity else {
      throw ChanterError(
        .budget,
        "\(runEnds.last ?? 0) samples are too many to rank in \(2 * capacity * MemoryLayout<Key>.size) bytes; give more memory"
      )
    }
    let share = 2 * capacity / runEnds.count
    var runs: [Run] = []
    for (number, end) in runEnds.enumerated() {
      let start = number == 0 ? 0 : runEnds[number - 1]
      var run = Run(buffer: keys + number * share, capacity: share, position: start, end: end)
      if try run.advance(spill) { runs.append(run) }
    }
    // A binary heap with the smallest head first; which of two equal heads comes first makes no difference.
    for root in stride(from: runs.count / 2 - 1, through: 0, by: -1) { Self.siftDown(&runs, root) }
    while !runs.isEmpty {
      try body(runs[0].head)
      if try !runs[0].advance(spill) {
        runs.swapAt(0, runs.count - 1)
        runs.removeLast()
      }
      Self.siftDown(&runs, 0)
    }
  }

  /// One sorted run being read.
  private struct Run {
    let buffer: UnsafeMutablePointer<Key>
    let capacity: Int
    /// The next key to load, and the end of the run, in keys of the file.
    var position: Int
    let end: Int
    var next = 0
    var loaded = 0
    var head: Key = 0

    init(buffer: UnsafeMutablePointer<Key>, capacity: Int, position: Int, end: Int) {
      self.buffer = buffer
      self.capacity = capacity
      self.position = position
      self.end = end
    }

    /// Moves to the next key; false at the end of the run.
    mutating func advance(_ file: File) throws -> Bool {
      if next == loaded {
        loaded = min(capacity, end - position)
        if loaded == 0 { return false }
        let size = MemoryLayout<Key>.size
        try file.read(at: size * position, into: buffer, count: size * loaded)
        position += loaded
        next = 0
      }
      head = buffer[next]
      next += 1
      return true
    }
  }

  private static func siftDown(_ runs: inout [Run], _ root: Int) {
    var parent = root
    while true {
      var child = 2 * parent + 1
      guard child < runs.count else { return }
      if child + 1 < runs.count, runs[child + 1].head < runs[child].head { child += 1 }
      guard runs[child].head < runs[parent].head else { return }
      runs.swapAt(parent, child)
      parent = child
    }
  }
}
