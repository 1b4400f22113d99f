import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@testable import Training

@Suite struct ExactnessTests {
  @Test(arguments: [("rowwise_adagrad", "adagrad"), ("sgd", "sgd")])
  func verifyFindsEveryRunEqual(rows: String, dense: String) throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: path, batches: 40, batchSize: 32)
      let request = VerificationRequest(
        datasetPath: path, configuration: SmallDataset.configuration(rows: rows, dense: dense, lookahead: 8),
        batches: 70)
      let report = try request.run()
      #expect(report.runs.count == 18)
      for run in report.runs {
        #expect(run.difference == nil)
        #expect(run.digest == report.digest)
      }
    }
  }
}
