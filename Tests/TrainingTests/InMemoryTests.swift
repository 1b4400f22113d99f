import BatchStore
import Foundation
import Models
import Primitives
import TestSupport
import Testing

@testable import Training

@Suite struct InMemoryTests {
  /// 10^8 rows of 1,025 floats: the plain trainer would take 821 GB.
  @Test func moreRowsThanTheMachineHoldsAreRefused() throws {
    try withTemporaryDirectory { directory in
      let data = directory.appendingPathComponent("data").path
      let tables = [TableLayout(name: "C1", rows: 100_000_000)]
      let output = try PendingOutput(data)
      let writer = try DatasetWriter(
        to: output, tables: tables, denseCount: 3, batchSize: 8, rowsPerPartition: 1 << 20)
      let samples = SampleBatch(tableCount: 1, denseCount: 3, capacity: 8)
      samples.sampleCount = 8
      for index in 0..<8 { samples.rows[index] = UInt32(index) }
      try writer.append(samples, to: .train)
      _ = try writer.finish()
      var configuration = SmallDataset.configuration()
      configuration.model.dimension = 1024
      configuration.model.network.bottom = [8, 1024]
      var run = TrainingRequest(
        datasetPath: data, modelPath: directory.appendingPathComponent("model").path,
        configuration: configuration, memory: nil)
      run.isInMemory = true
      let error = #expect(throws: ChanterError.self) { try run.run() }
      #expect(error?.message.contains("leave out --in-memory") == true, "\(error?.description ?? "")")
      let verification = VerificationRequest(
        datasetPath: data, configuration: configuration, batches: 1)
      let refused = #expect(throws: ChanterError.self) { try verification.run() }
      #expect(
        refused?.message.contains("this machine, or the cgroup") == true, "\(refused?.description ?? "")")
    }
  }
}
