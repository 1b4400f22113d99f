import BatchStore
import Foundation
import Lookahead
import Models
import Primitives
import TableStore
import TestSupport
import Testing

@testable import Training

@Suite struct PlanTests {
  private struct Case: CustomTestStringConvertible {
    let policy: EvictionPolicy
    let epochs: Int
    /// Where the budget lies between the least and one with room for every row.
    let share: Double
    let commitInterval: Int
    var testDescription: String { "\(policy), \(epochs) epochs, \(share), commits every \(commitInterval)" }
  }

  private static let cases = EvictionPolicy.allCases.flatMap { policy in
    [(1, 0, 64), (1, 0.02, 7), (2, 0.03, 3), (2, 1, 5), (3, 0.01, 1)].map {
      Case(policy: policy, epochs: $0.0, share: $0.1, commitInterval: $0.2)
    }
  }

  @Test(arguments: cases)
  private func theRunCountsWhatThePlanPromises(test: Case) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 50, batchSize: 32)
      var configuration = SmallDataset.configuration(epochs: test.epochs, lookahead: 3)
      configuration.run.policy = test.policy
      let harness = try Harness(path, configuration, commitInterval: test.commitInterval)
      let memory = harness.needs.budget(lookahead: 3, share: test.share)

      var plan = PlanRequest(datasetPath: path, configuration: configuration, memory: memory)
      plan.commitInterval = test.commitInterval
      let report = try plan.run()
      #expect(report.memory == (try harness.needs.plan(budget: memory, wantedLookahead: 3)))
      #expect(report.minimumMemory == harness.needs.minimum)

      var training = TrainingRequest(
        datasetPath: path, modelPath: directory.appendingPathComponent("model").path,
        configuration: configuration, memory: memory)
      training.commitInterval = test.commitInterval
      var counted = try training.run().progress.counters
      #expect(counted.lossSum > 0)
      counted.lossSum = 0
      #expect(counted == report.counters)
      #expect(counted.compactions > (test.commitInterval < 5 ? 1 : 0))
      #expect(counted.evictedRows > 0 || test.share == 1)
    }
  }

  @Test func theMinimumWorksAndOneByteLessDoesNot() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 20, batchSize: 16)
      let configuration = SmallDataset.configuration()
      let roomy = try PlanRequest(datasetPath: path, configuration: configuration, memory: 1 << 30).run()
      #expect(roomy.counters.evictedRows == 0)
      #expect(roomy.counters.fetchedRows == roomy.touchedRows)
      let least = try PlanRequest(
        datasetPath: path, configuration: configuration, memory: roomy.minimumMemory
      ).run()
      #expect(least.memory.lookahead == 1 && least.memory.total == roomy.minimumMemory)
      let error = #expect(throws: ChanterError.self) {
        try PlanRequest(datasetPath: path, configuration: configuration, memory: roomy.minimumMemory - 1)
          .run()
      }
      #expect(error?.kind == .budget)
    }
  }

  @Test func theTableGoesFromTheLeastToEveryRow() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 40, batchSize: 64)
      // Rows wide enough that budgets differ as they are printed.
      var configuration = SmallDataset.configuration(lookahead: 2)
      configuration.model.dimension = 64
      configuration.model.network.bottom = [8, 64]
      var request = PlanRequest(datasetPath: path, configuration: configuration, memory: 64 << 20)
      request.comparesPolicies = true
      let report = try request.run()

      let dataset = try Dataset(opening: path)
      let reader = try dataset.reader(.train)
      let batch = Batch(layout: reader.layout)
      var touched: [Set<UInt32>] = Array(repeating: [], count: 3)
      for index in 0..<reader.batchCount {
        try reader.read(index, into: batch)
        for key in batch.keys.prefix(batch.uniqueCount) { touched[key.table].insert(key.row) }
      }
      #expect(report.tables.map(\.touchedRows) == touched.map(\.count))
      #expect(report.touchedBytes == report.touchedRows * report.rowBytes)

      #expect(report.alternatives.map(\.policy) == [.window, .lru])
      // From the least to all rows, each line planned for every policy.
      let sizes = stride(from: 0, to: report.budgets.count, by: 3).map { report.budgets[$0].memory }
      #expect(sizes.count > 2 && sizes.map(\.budget) == Set(sizes.map(\.budget)).sorted())
      #expect(sizes[0].budget == ByteSize.printable(report.minimumMemory))
      #expect(sizes.map(\.cacheRows) == sizes.map(\.cacheRows).sorted())
      #expect(sizes[sizes.count - 1].cacheRows >= report.touchedRows)
      #expect(sizes[sizes.count - 2].cacheRows < report.touchedRows)
      for (index, planned) in report.budgets.enumerated() {
        let budget = planned.memory.budget
        #expect(planned.policy == EvictionPolicy.allCases[index % 3])
        #expect(planned.memory == report.budgets[index / 3 * 3].memory)
        #expect(ByteSize.parse(ByteSize.format(budget)) == budget)
        // What a plan of this budget alone says.
        var alone = PlanRequest(datasetPath: path, configuration: configuration, memory: budget)
        alone.configuration.run.policy = planned.policy
        #expect(try alone.run().counters == planned.counters)
      }
    }
  }

  @Test func bytesOfACommitAreWhatTheStoreWrites() throws {
    try withTemporaryDirectory { directory in
      let layout = RowLayout(
        tables: [TableLayout(name: "a", rows: 5000)], dimension: 16, stateFloats: 1, seed: 1)
      let dense = [UInt8](repeating: 7, count: 100)
      let store = try dense.withUnsafeBytes {
        try ModelStore.create(
          at: directory.appendingPathComponent("model").path, header: "{}", layout: layout, dense: $0,
          cursor: 0)
      }
      for count in [0, 1, 861, 862, 2000] {
        let keys = (0..<count).map { RowKey(table: 0, row: UInt32($0)) }
        let order = (0..<count).map { UInt32($0) }
        let rows = [Float](repeating: 1, count: max(1, count) * layout.rowFloats)
        let result = try dense.withUnsafeBytes {
          try store.commit(keys: keys, order: order, count: count, rows: rows, dense: $0, cursor: 1)
        }
        #expect(result.bytesWritten == WrittenBytes.commit(rows: count, denseBytes: 100, layout: layout))
      }
      let compaction = try #require(try store.makeCompaction(maximumBlocks: 10_000))
      #expect(try compaction.step())
      // 2,000 rows, 59 a block.
      #expect(compaction.bytesWritten == WrittenBytes.compaction(blocks: 34, layout: layout))
    }
  }
}
