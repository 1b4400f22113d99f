import BatchStore
import Foundation
import Lookahead
import Models
import Primitives
import TestSupport
import Testing

@testable import Training

@Suite struct ExactnessTests {
  @Test(arguments: [("rowwise_adagrad", "adagrad"), ("sgd", "sgd")])
  func verifyFindsEveryRunEqual(rows: String, dense: String) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 28, batchSize: 32)
      // 48 batches are one epoch and most of a second.
      let request = VerificationRequest(
        datasetPath: path, configuration: SmallDataset.configuration(rows: rows, dense: dense, lookahead: 8),
        batches: 48)
      let report = try request.run()
      #expect(report.runs.count == 27)
      #expect(Set(report.runs.map(\.lookahead)) == [1, 3, 8])
      // The tightest budget meets every thread count.
      let tightest = report.runs.indices.filter { $0 % 3 == 0 }.map { report.runs[$0].threads }
      #expect(Set(tightest) == [1, 2, 3])
      for run in report.runs {
        #expect(run.difference == nil)
        #expect(run.digest == report.digest)
      }
    }
  }

  @Test(arguments: [1, 2, 6], EvictionPolicy.allCases)
  func randomNextUsesChangeNothingButSpeed(lookahead: Int, policy: EvictionPolicy) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 30, batchSize: 32)
      var configuration = SmallDataset.configuration(lookahead: lookahead)
      configuration.run.policy = policy
      let harness = try Harness(path, configuration, commitInterval: 4)
      let random = CounterRandom(seed: 4, stream: 44)
      let model = directory.appendingPathComponent("model").path
      let counters = try harness.train(
        model, until: 60,
        nextUses: { step, batch in
          for position in 0..<batch.uniqueCount {
            batch.nextUse[position] = UInt16(truncatingIfNeeded: random.bits(UInt64(step << 20 | position)))
          }
        })
      #expect(counters.evictedRows > 0 && counters.overlayRows > 0)
      #expect(try Harness.digest(model) == harness.plainDigest(60))
    }
  }

  /// As where the model is far larger than the memory.
  @Test func rowsReadPastTheCacheAreTheSame() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 30, batchSize: 32)
      let harness = try Harness(
        path, SmallDataset.configuration(lookahead: 1), commitInterval: 1, extraRows: 0)
      let model = directory.appendingPathComponent("model").path
      let counters = try harness.train(model, until: 60, directAbove: 0)
      #expect(counters.blocksRead > 0 && counters.compactions > 0)
      #expect(try Harness.digest(model) == harness.plainDigest(60))
    }
  }

  @Test func aDifferenceIsFoundAndNamed() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 12, batchSize: 16)
      let harness = try Harness(path, SmallDataset.configuration())
      let trace = directory.appendingPathComponent("trace").path
      let recorder = try TraceFile(creating: trace)
      try harness.train(
        directory.appendingPathComponent("a").path, until: 12, observer: { try recorder.record($0) })
      // One bit of the state of one row, at batch 7.
      let comparer = try TraceFile(reading: trace, tables: SmallDataset.tables.map(\.name))
      var damaged: RowKey = 0
      try harness.train(
        directory.appendingPathComponent("b").path, until: 12,
        observer: { step in
          if step.step == 7 {
            let position = step.batch.uniqueCount / 2
            damaged = step.batch.keys[position]
            let row = step.input.rows + Int(step.input.slots[position]) * step.input.rowFloats
            row[0] = Float(bitPattern: row[0].bitPattern ^ 1)
          }
          try comparer.compare(step)
        })
      #expect(
        comparer.difference == "batch 7, table \(SmallDataset.tables[damaged.table].name), row \(damaged.row)"
      )
    }
  }

  /// Schedule, validation and early stopping are held against the plain trainer, too.
  @Test func verifyCoversTrainingControl() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 10, batchSize: 32, validBatches: 3)
      var configuration = SmallDataset.configuration(lookahead: 4)
      configuration.control.validEvery = .batches(3)
      configuration.control.patience = 2
      configuration.control.schedule.kind = .plateau
      configuration.control.schedule.warmupBatches = 2
      configuration.control.positiveWeight = 2
      let report = try VerificationRequest(datasetPath: path, configuration: configuration, batches: 30).run()
      #expect(report.isExact && report.runs.allSatisfy { $0.digest == report.digest })
      var constant = configuration
      constant.control.schedule = LearningRateSchedule()
      let other = try VerificationRequest(datasetPath: path, configuration: constant, batches: 30).run()
      #expect(other.isExact && other.digest != report.digest)
    }
  }
}
