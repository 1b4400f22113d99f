import BatchStore

/// Merges sorted partitions by (a, b): a heap of readers, the least record on top.
struct SpilledMerge {
  private let readers: [PartitionReader]
  /// Partitions that have records left.
  private var heap: [Int] = []

  init(_ readers: [PartitionReader]) throws {
    self.readers = readers
    for partition in readers.indices where try readers[partition].next() { heap.append(partition) }
    for position in (0..<heap.count / 2).reversed() { siftDown(position) }
  }

  /// The partition whose record comes next, or nil after the last of all.
  var partition: Int? { heap.first }

  /// The record that comes next.
  var record: PartitionRecord? { heap.first.map { readers[$0].record } }

  /// The bytes of that record, valid until `advance`.
  var bytes: UnsafeRawBufferPointer? { heap.first.map { readers[$0].bytes } }

  mutating func advance() throws {
    guard let partition = heap.first else { return }
    if try !readers[partition].next() {
      heap.swapAt(0, heap.count - 1)
      heap.removeLast()
    }
    siftDown(0)
  }

  private func isBefore(_ left: Int, _ right: Int) -> Bool {
    let (first, second) = (readers[heap[left]].record, readers[heap[right]].record)
    return first.a != second.a ? first.a < second.a : first.b < second.b
  }

  private mutating func siftDown(_ start: Int) {
    var position = start
    while true {
      var least = position
      for child in [2 * position + 1, 2 * position + 2] where child < heap.count && isBefore(child, least) {
        least = child
      }
      if least == position { return }
      heap.swapAt(position, least)
      position = least
    }
  }
}
