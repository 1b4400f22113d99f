import Primitives
import Testing

@testable import BatchStore

@Suite struct UnseenTests {
  /// Random batches whose rows are cut, against every entry's row.
  @Test func rowsBeyondATableBecomeUnseen() {
    let shape = SampleShape(
      tableCount: 3,
      features: [
        FeatureLayout(name: "a", table: 0), FeatureLayout(name: "b", table: 1, isBag: true),
        FeatureLayout(name: "c", table: 1), FeatureLayout(name: "d", table: 2),
      ], denseCount: 0, hasWeights: false)
    for seed in 0..<300 {
      let random = CounterRandom(seed: UInt64(seed), stream: 1)
      var draws: UInt64 = 0
      func draw(_ bound: UInt64) -> UInt32 {
        draws += 1
        return UInt32(random.below(bound, draws))
      }
      let samples = SampleBatch(shape: shape, capacity: 6)
      samples.sampleCount = 1 + seed % 6
      let bound = UInt64(2 + seed % 12)
      for sample in 0..<samples.sampleCount {
        for column in [0, 2, 3] { samples.rows[column * 6 + sample] = draw(bound) + UInt32(seed % 3 / 2) }
        samples.bags[0].set(sample, (0..<Int(draw(4))).map { _ in draw(bound) })
      }
      let batch = Batch(layout: BatchBuilder.layout(shape: shape, capacity: 6, bagEntries: 24))
      BatchBuilder(shape: shape).build(samples, index: 0, into: batch)
      let limits = (0..<3).map { TableLayout(name: "\($0)", rows: 1 + draw(bound + 2)) }
      let before = (0..<batch.entryCount).map { batch.keys[Int(batch.inverse[$0])] }
      batch.makeUnseen(beyond: limits)
      let after = (0..<batch.entryCount).map { batch.keys[Int(batch.inverse[$0])] }
      #expect(
        after == before.map { RowKey(table: $0.table, row: $0.row < limits[$0.table].rows ? $0.row : 0) })
      let keys = Array(batch.keys.prefix(batch.uniqueCount))
      #expect(keys == Set(after).sorted())
      for table in 0..<3 {
        let range = Int(batch.tableOffsets[table])..<Int(batch.tableOffsets[table + 1])
        #expect(keys[range].elementsEqual(keys.filter { $0.table == table }))
      }
    }
  }
}
