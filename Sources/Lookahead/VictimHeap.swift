import Primitives

/// The idle slots, ordered so that the row with the farthest next use is on top; equal next uses by ascending key.
///
/// An indexed binary heap: a slot that becomes busy is taken out at once, so the heap never holds more than the
/// cache. Insertion and removal are O(log n). 8 bytes a slot.
struct VictimHeap {
  static let bytesPerSlot = 8
  private static let absent = UInt32.max
  private let heap: AlignedBuffer<UInt32>
  private let positions: AlignedBuffer<UInt32>
  private let nextUses: AlignedBuffer<UInt32>
  private let keys: AlignedBuffer<RowKey>
  private(set) var count = 0

  /// - Parameters:
  ///   - nextUses: absolute step of the next use of each slot's row; must not change while the slot is in the heap.
  ///   - keys: the row in each slot.
  init(nextUses: AlignedBuffer<UInt32>, keys: AlignedBuffer<RowKey>) {
    heap = AlignedBuffer(count: keys.count)
    positions = AlignedBuffer(count: keys.count)
    positions.prefix().update(repeating: Self.absent)
    self.nextUses = nextUses
    self.keys = keys
  }

  /// Brings into the CPU's cache what `contains` reads.
  @inline(__always)
  func prefetch(_ slot: Int) { CPU.prefetch(positions.base + slot) }

  func contains(_ slot: Int) -> Bool { positions.base[slot] != Self.absent }

  /// The slot on top: the next victim.
  var top: Int? { count > 0 ? Int(heap.base[0]) : nil }

  private func isBefore(_ a: UInt32, _ b: UInt32) -> Bool {
    let first = nextUses.base[Int(a)]
    let second = nextUses.base[Int(b)]
    return first != second ? first > second : keys.base[Int(a)] < keys.base[Int(b)]
  }

  mutating func insert(_ slot: Int) {
    count += 1
    rise(from: count - 1, UInt32(slot))
  }

  mutating func remove(_ slot: Int) {
    let heap = heap.base
    let position = Int(positions.base[slot])
    positions.base[slot] = Self.absent
    count -= 1
    if position == count { return }
    let moved = heap[count]
    if position > 0, isBefore(moved, heap[(position - 1) / 2]) {
      rise(from: position, moved)
    } else {
      sink(from: position, moved)
    }
  }

  private func place(_ slot: UInt32, at position: Int) {
    heap.base[position] = slot
    positions.base[Int(slot)] = UInt32(position)
  }

  private func rise(from start: Int, _ slot: UInt32) {
    var position = start
    while position > 0 {
      let parent = (position - 1) / 2
      let other = heap.base[parent]
      if !isBefore(slot, other) { break }
      place(other, at: position)
      position = parent
    }
    place(slot, at: position)
  }

  private func sink(from start: Int, _ slot: UInt32) {
    var position = start
    while true {
      var child = 2 * position + 1
      if child >= count { break }
      if child + 1 < count, isBefore(heap.base[child + 1], heap.base[child]) { child += 1 }
      let other = heap.base[child]
      if !isBefore(other, slot) { break }
      place(other, at: position)
      position = child
    }
    place(slot, at: position)
  }

  /// Every parent comes before its children and every slot knows its position. For tests.
  func checkInvariants() -> Bool {
    (0..<count).allSatisfy { position in
      positions.base[Int(heap.base[position])] == UInt32(position)
        && (position == 0 || !isBefore(heap.base[position], heap.base[(position - 1) / 2]))
    }
  }
}
