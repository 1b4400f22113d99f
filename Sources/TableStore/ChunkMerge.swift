import CLMDB
import Primitives

/// Where a merge stands in the chunks of one commit, whose keys ascend from chunk to chunk.
struct ChunkRun: BitwiseCopyable {
  let commit: UInt64
  var sequence: UInt64 = 0
  var index = 0
  /// Chunks below this were announced to the system.
  var announced: UInt64 = 0
  /// The last key taken, to check the order from one chunk to the next.
  var lastKey: RowKey?
  var isFinished = false
}

/// Streaming merge by key over the chunks of several commits; of equal keys the newest commit's row wins.
///
/// Holds one position a commit and nothing a row; rows stay in the mapped file. It works inside one transaction, and
/// `runs` can be kept to go on in another as long as the chunks are still there.
struct ChunkMerge: ~Copyable {
  private(set) var runs: [ChunkRun]
  private let store: ModelStore
  private let transaction: OpaquePointer
  // Per run: its current chunk, and its next key.
  private var chunks: [Chunk.Location?]
  private var keys: [RowKey]
  // A binary heap of run numbers: least key first, of equal keys the newest commit first.
  private var heap: [Int] = []

  /// Chunks of a commit that are announced ahead, half of them at a time.
  private static let aheadChunks: UInt64 = 32

  /// Bytes held for each commit that is merged.
  static let memoryBytesPerRun =
    MemoryLayout<ChunkRun>.stride + MemoryLayout<Chunk.Location?>.stride + MemoryLayout<RowKey>.stride
    + MemoryLayout<Int>.stride

  /// - Parameters:
  ///   - runs: ascending by commit.
  ///   - first: keys below it are left out, found by binary search; `runs` stand at their start then.
  init(_ store: ModelStore, transaction: OpaquePointer, runs: [ChunkRun], from first: RowKey = 0) throws {
    self.store = store
    self.transaction = transaction
    self.runs = runs
    chunks = Array(repeating: nil, count: runs.count)
    keys = Array(repeating: 0, count: runs.count)
    for run in runs.indices where !runs[run].isFinished {
      if first > 0 { try seek(run, first) } else { try enter(run) }
      if !self.runs[run].isFinished { push(run) }
    }
  }

  /// The least key that is left, or nil at the end.
  var nextKey: RowKey? { heap.isEmpty ? nil : keys[heap[0]] }

  /// Takes the row of `nextKey`, which must not be nil: its newest value, `rowBytes` bytes in the mapped file.
  mutating func take() throws -> UnsafeRawPointer {
    let newest = heap[0]
    let key = keys[newest]
    guard let chunk = chunks[newest] else { throw ChanterError(.broken, "no chunk to take a row from") }
    let row = chunk.row(runs[newest].index, store.geometry)
    while let run = heap.first, keys[run] == key { try advance(run) }
    return row
  }

  private mutating func advance(_ run: Int) throws {
    runs[run].lastKey = keys[run]
    runs[run].index += 1
    if let chunk = chunks[run], runs[run].index < chunk.count {
      keys[run] = chunk.rowKey(runs[run].index)
    } else {
      runs[run].sequence += 1
      runs[run].index = 0
      try enter(run)
    }
    if runs[run].isFinished {
      let last = heap.removeLast()
      if heap.isEmpty { return }
      heap[0] = last
    }
    siftDown()
  }

  /// Moves a run from its start to its first key that is not below `first`.
  private mutating func seek(_ run: Int, _ first: RowKey) throws {
    let commit = runs[run].commit
    // Whether the chunk is there and does not begin behind `first`.
    func begins(_ sequence: UInt64) throws -> Bool {
      guard sequence < 1 << Chunk.sequenceBits else { return false }
      let key = Chunk.key(commit: commit, sequence: sequence)
      guard let bytes = try value(transaction, store.databases.chunks, key, store.path) else { return false }
      return try Chunk.locate(bytes, key: key, store.geometry, path: store.path).firstKey <= first
    }
    var low: UInt64 = 0
    var high: UInt64 = 1
    while try begins(high) {
      low = high
      high *= 2
    }
    while high - low > 1 {
      let middle = (low + high) / 2
      if try begins(middle) { low = middle } else { high = middle }
    }
    runs[run].sequence = low
    try enter(run)
    guard let chunk = chunks[run] else { return }
    let index = chunk.lowerBound(first)
    if index < chunk.count {
      runs[run].index = index
      keys[run] = chunk.rowKey(index)
    } else {
      runs[run].lastKey = chunk.lastKey
      runs[run].sequence += 1
      try enter(run)
    }
  }

  /// Makes the chunk at the run's position its current one, checked whole, or finishes the run.
  private mutating func enter(_ run: Int) throws {
    let position = runs[run]
    let key = Chunk.key(commit: position.commit, sequence: position.sequence)
    guard let bytes = try value(transaction, store.databases.chunks, key, store.path) else {
      runs[run].isFinished = true
      chunks[run] = nil
      return
    }
    try announce(run)
    let chunk = try Chunk.locate(bytes, key: key, store.geometry, path: store.path)
    try Chunk.verify(chunk, store.geometry, store.layout, path: store.path)
    guard position.index < chunk.count, position.lastKey.map({ $0 < chunk.rowKey(position.index) }) ?? true
    else {
      throw ChanterError(
        .corrupt, "the chunks of commit \(position.commit) are out of order; " + restoreAdvice,
        path: store.path)
    }
    chunks[run] = chunk
    keys[run] = chunk.rowKey(position.index)
  }

  private mutating func announce(_ run: Int) throws {
    let end = runs[run].sequence + Self.aheadChunks
    guard runs[run].announced < end - Self.aheadChunks / 2 else { return }
    let first = max(runs[run].sequence, runs[run].announced)
    try store.announceChunks(
      transaction, from: Chunk.key(commit: runs[run].commit, sequence: first), count: Int(end - first))
    runs[run].announced = end
  }

  @inline(__always)
  private func comesFirst(_ left: Int, _ right: Int) -> Bool {
    keys[left] != keys[right] ? keys[left] < keys[right] : left > right
  }

  private mutating func push(_ run: Int) {
    heap.append(run)
    var child = heap.count - 1
    while child > 0, comesFirst(heap[child], heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var first = parent
      for child in (2 * parent + 1)...(2 * parent + 2)
      where child < heap.count && comesFirst(heap[child], heap[first]) {
        first = child
      }
      if first == parent { return }
      heap.swapAt(first, parent)
      parent = first
    }
  }
}

extension ModelStore {
  /// Asks the system to read the chunks from `key` on ahead of their use, `count` of them at most.
  func announceChunks(_ transaction: OpaquePointer, from key: UInt64, count: Int) throws {
    let cursor = try Cursor(transaction, databases.chunks, path: path)
    var readAhead = ReadAhead()
    var entry = try cursor.move(MDB_SET_RANGE, from: key, path: path)
    for _ in 0..<count {
      guard let found = entry else { break }
      readAhead.add(UInt(bitPattern: found.value.baseAddress), count: found.value.count)
      entry = try cursor.move(MDB_NEXT, path: path)
    }
    readAhead.flush()
  }

  /// The commits that have chunks, ascending, up to `last`, each with a run at its start.
  func chunkRuns(_ transaction: OpaquePointer, through last: UInt64) throws -> [ChunkRun] {
    let cursor = try Cursor(transaction, databases.chunks, path: path)
    var runs: [ChunkRun] = []
    var entry = try cursor.move(MDB_FIRST, path: path)
    while let found = entry {
      let commit = Chunk.commit(of: found.key)
      if commit > last { break }
      guard Chunk.sequence(of: found.key) == 0 else {
        throw ChanterError(
          .corrupt, "the first chunk of commit \(commit) is missing; " + restoreAdvice, path: path)
      }
      runs.append(ChunkRun(commit: commit))
      if commit == Chunk.largestCommit { break }
      entry = try cursor.move(MDB_SET_RANGE, from: Chunk.key(commit: commit + 1, sequence: 0), path: path)
    }
    return runs
  }
}
