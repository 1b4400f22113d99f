import Primitives
import Testing

@testable import Lookahead

@Suite struct StructureTests {
  @Test(arguments: 0..<6 as Range<UInt64>)
  func keyTableAgreesWithADictionary(seed: UInt64) {
    let random = CounterRandom(seed: seed, stream: 1)
    let capacity = 50
    let keys = AlignedBuffer<RowKey>(count: capacity)
    let table = KeyTable(keys: keys)
    var truth: [RowKey: Int] = [:]
    var free = Array(0..<capacity)
    for round in 0..<5000 as Range<UInt64> {
      // Few distinct keys with equal low bits make long probe runs.
      let key = RowKey(
        table: Int(random.below(3, 2 * round)), row: UInt32(random.below(40, 2 * round + 1)) << 16)
      #expect(table.find(key) == truth[key])
      if let slot = truth[key] {
        table.remove(slot: slot)
        truth[key] = nil
        free.append(slot)
      } else if let slot = free.popLast() {
        keys[slot] = key
        table.insert(slot: slot)
        truth[key] = slot
      }
    }
  }

  @Test(arguments: 0..<6 as Range<UInt64>)
  func victimHeapGivesTheFarthestThenTheSmallestKey(seed: UInt64) {
    let random = CounterRandom(seed: seed, stream: 2)
    let capacity = 64
    let keys = AlignedBuffer<RowKey>(count: capacity)
    let nextUses = AlignedBuffer<UInt32>(count: capacity)
    var heap = VictimHeap(nextUses: nextUses, keys: keys)
    var members: Set<Int> = []
    for round in 0..<3000 as Range<UInt64> {
      let slot = Int(random.below(UInt64(capacity), 3 * round))
      if members.contains(slot) {
        heap.remove(slot)
        members.remove(slot)
      } else {
        keys[slot] = random.below(1000, 3 * round + 1) << 8 | RowKey(slot)
        nextUses[slot] = UInt32(random.below(5, 3 * round + 2))
        heap.insert(slot)
        members.insert(slot)
      }
      #expect(heap.checkInvariants())
      let expected = members.min {
        nextUses[$0] != nextUses[$1] ? nextUses[$0] > nextUses[$1] : keys[$0] < keys[$1]
      }
      #expect(heap.top == expected)
    }
  }
}
