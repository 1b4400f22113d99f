import BatchStore
import Primitives

/// Where a line stands: by part, then by time, then as it came.
struct LineKey: Comparable {
  var part: UInt64
  /// Order-preserving form of a signed number.
  var time: UInt64
  var sequence: UInt64

  init(part: Int, time: Int64, sequence: Int) {
    self.part = UInt64(part)
    self.time = UInt64(bitPattern: time) ^ 1 << 63
    self.sequence = UInt64(sequence)
  }

  init(_ record: FileRecord) {
    part = record.first
    time = record.second
    sequence = record.third
  }

  var record: FileRecord { FileRecord(first: part, second: time, third: sequence) }

  static func < (left: LineKey, right: LineKey) -> Bool {
    if left.part != right.part { return left.part < right.part }
    return left.time != right.time ? left.time < right.time : left.sequence < right.sequence
  }
}

/// Sorts lines in bounded memory: as many as fit are sorted and written as a run, and runs are merged, 64 at a time.
final class LineSorter {
  private static let fanIn = 64

  private struct Entry {
    var key: LineKey
    var start: Int
    var length: Int
  }

  private let directory: String
  private let text: AlignedBuffer<UInt8>
  private var used = 0
  private var entries: [Entry] = []
  private let mostEntries: Int
  /// Runs by how often their lines were merged.
  private var levels: [[RecordFile]] = []

  /// Of what a run's lines and the buffers of a merge take.
  static func bytes(runBytes: Int) -> Int { 2 * runBytes + (fanIn + 2) * RecordReader.bytes }

  /// - Parameters:
  ///   - directory: where the runs lie.
  ///   - runBytes: text of a run; at least that of a line.
  init(directory: String, runBytes: Int) {
    self.directory = directory
    text = AlignedBuffer(count: runBytes)
    mostEntries = max(1, runBytes / MemoryLayout<Entry>.stride)
    entries.reserveCapacity(mostEntries)
  }

  func add(_ key: LineKey, _ line: UnsafeRawBufferPointer) throws {
    if used + line.count > text.count || entries.count == mostEntries { try endRun() }
    if let source = line.baseAddress {
      UnsafeMutableRawPointer(text.base + used).copyMemory(from: source, byteCount: line.count)
    }
    entries.append(Entry(key: key, start: used, length: line.count))
    used += line.count
  }

  private func endRun() throws {
    entries.sort { $0.key < $1.key }
    let run = try RecordFile(directory: directory)
    for entry in entries {
      try run.append(
        entry.key.record, UnsafeRawBufferPointer(start: text.base + entry.start, count: entry.length))
    }
    try run.finish()
    entries.removeAll(keepingCapacity: true)
    used = 0
    try put(run, level: 0)
  }

  private func put(_ run: RecordFile, level: Int) throws {
    if level == levels.count { levels.append([]) }
    levels[level].append(run)
    guard levels[level].count == Self.fanIn else { return }
    let merged = try mergedRun(levels[level])
    levels[level] = []
    try put(merged, level: level + 1)
  }

  /// Gives every line in order, once.
  func finish(_ body: (LineKey, UnsafeRawBufferPointer) throws -> Void) throws {
    try endRun()
    // The shortest first.
    var runs = levels.flatMap { $0 }
    levels = []
    while runs.count > Self.fanIn {
      let count = min(Self.fanIn, runs.count - Self.fanIn + 1)
      let merged = try mergedRun(Array(runs.prefix(count)))
      runs = runs.dropFirst(count) + [merged]
    }
    try merge(runs, body)
  }

  private func mergedRun(_ runs: [RecordFile]) throws -> RecordFile {
    let merged = try RecordFile(directory: directory)
    try merge(runs) { try merged.append($0.record, $1) }
    try merged.finish()
    return merged
  }

  private func merge(
    _ runs: [RecordFile], _ body: (LineKey, UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let decoder = RecordDecoder()
    let readers = runs.map { RecordReader($0, decoder) }
    var heap: [Int] = []
    var keys: [LineKey] = []
    for (number, reader) in readers.enumerated() {
      let isThere = try reader.next()
      keys.append(LineKey(reader.record))
      if isThere { heap.append(number) }
    }
    func siftDown(_ start: Int) {
      var position = start
      while true {
        var least = position
        for child in [2 * position + 1, 2 * position + 2]
        where child < heap.count && keys[heap[child]] < keys[heap[least]] { least = child }
        if least == position { return }
        heap.swapAt(position, least)
        position = least
      }
    }
    for position in (0..<heap.count / 2).reversed() { siftDown(position) }
    while let number = heap.first {
      try body(keys[number], readers[number].bytes)
      if try readers[number].next() {
        keys[number] = LineKey(readers[number].record)
      } else {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
      }
      siftDown(0)
    }
  }
}
