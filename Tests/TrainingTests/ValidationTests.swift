import BatchStore
import Foundation
import Lookahead
import Metrics
import Models
import Primitives
import TableStore
import TestSupport
import Testing

@testable import Training

private struct Crash: Error {}

/// Validation at batch boundaries: the same numbers, decisions and bytes however a run goes about it.
@Suite struct ValidationTests {
  private static func configuration(
    every: ValidationInterval = .batches(6), patience: Int = 0, lookahead: Int = 4, threads: Int = 2,
    epochs: Int = 1
  ) -> Configuration {
    var configuration = SmallDataset.configuration(epochs: epochs, lookahead: lookahead, threads: threads)
    configuration.control.validEvery = every
    configuration.control.group = "C1"
    configuration.control.patience = patience
    configuration.control.schedule.kind = .plateau
    configuration.control.schedule.factor = 0.5
    configuration.control.metric = .logLoss
    return configuration
  }

  private func withData(
    batches: Int = 20, _ body: (_ data: String, _ path: (String) -> String) throws -> Void
  ) throws {
    try withTemporaryDirectory { directory in
      let data = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: data, batches: batches, batchSize: 32, validBatches: 5)
      try body(data, { directory.appendingPathComponent($0).path })
    }
  }

  /// The validations of a model, without what the clock says.
  private static func records(_ model: String) throws -> [String] {
    let text = try String(contentsOfFile: "\(model)/metrics.jsonl", encoding: .utf8)
    return try text.split(separator: "\n").map { line in
      var object = try #require(
        try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
      #expect(object.removeValue(forKey: "not_part_of_the_model") != nil)
      let data = try JSONSerialization.data(withJSONObject: object, options: .sortedKeys)
      return String(decoding: data, as: UTF8.self)
    }
  }

  private func request(
    _ data: String, _ model: String, _ configuration: Configuration, memory: Int?
  ) -> TrainingRequest {
    var request = TrainingRequest(
      datasetPath: data, modelPath: model, configuration: configuration, memory: memory)
    request.isInMemory = memory == nil
    return request
  }

  @Test func everyRunFindsTheSame() throws {
    try withData { data, path in
      let configuration = Self.configuration(epochs: 2)
      #expect(try request(data, path("plain"), configuration, memory: nil).run().end == .finished)
      let expected = try Self.records(path("plain"))
      let digest = try Harness.digest(path("plain"))
      #expect(expected.count == 6)
      let harness = try Harness(data, configuration)
      for (index, share) in [0, 0.01, 0.1, 1].enumerated() {
        var variant = configuration
        variant.run.lookahead = [1, 4, 9, 2][index]
        variant.run.threads = index % 3 + 1
        let budget = harness.needs.budget(lookahead: variant.run.lookahead, share: share)
        var run = request(data, path("model-\(index)"), variant, memory: budget)
        run.commitInterval = [64, 5, 6, 1][index]
        #expect(try run.run().end == .finished)
        #expect(try Self.records(path("model-\(index)")) == expected)
        #expect(try Harness.digest(path("model-\(index)")) == digest)
      }
    }
  }

  @Test func metricsAreThoseOfScoringTheModel() throws {
    try withData { data, path in
      var configuration = Self.configuration()
      configuration.run.maximumBatches = 12
      let run = try request(data, path("model"), configuration, memory: 64 << 20).run()
      #expect(run.progress.counters.batches == 12)
      let dataset = try Dataset(opening: data)
      let ranking = RankingMetrics()
      let groups = GroupedRanking()
      try Scorer(modelPath: path("model")).score(dataset, split: .valid, memory: nil) { batch, scores in
        for sample in 0..<batch.sampleCount {
          try ranking.add(score: scores[sample], label: batch.labels[sample])
          let group = batch.row(of: sample, feature: 0)
          if group != 0 { try groups.add(group: group, score: scores[sample], label: batch.labels[sample]) }
        }
      }
      let summary = try ranking.finish()
      let line = try #require(
        try String(contentsOfFile: "\(path("model"))/metrics.jsonl", encoding: .utf8).split(separator: "\n")
          .last)
      let record = try JSONDecoder().decode(ValidationRecord.self, from: Data(line.utf8))
      #expect(record.step == 12 && record.samples == summary.samples)
      #expect(record.auc == summary.auc && record.logLoss == summary.logLoss)
      #expect(record.accuracy == summary.accuracy && record.calibration == summary.calibration)
      let grouped = try groups.finish().auc
      #expect(grouped != nil && record.groupedAUC == grouped)
    }
  }

  /// Crashes fall before, at and behind validations, and between a validation and the commit after it.
  @Test(arguments: [4, 5, 6, 7, 11, 12, 23, 29])
  func aCrashEndsWithTheSameBytesAndDecisions(crashAt: Int) throws {
    try withData { data, path in
      let configuration = Self.configuration(epochs: 2)
      let harness = try Harness(data, configuration, commitInterval: 4)
      try harness.train(path("whole"), until: 40)
      #expect(throws: Crash.self) {
        try harness.train(path("cut"), until: 40, observer: { if $0.step == crashAt { throw Crash() } })
      }
      try harness.train(path("cut"), until: 40)
      #expect(try Self.records(path("cut")) == Self.records(path("whole")))
      #expect(try Harness.digest(path("cut")) == Harness.digest(path("whole")))
      #expect(try Harness.digest(path("cut")) == harness.plainDigest(40))
    }
  }

  /// As if killed between the line of a validation and the commit that knows of it.
  @Test func aLineWithoutItsCommitIsWrittenAgain() throws {
    try withData { data, path in
      let harness = try Harness(data, Self.configuration())
      try harness.train(path("whole"), until: 20)
      let whole = try Self.records(path("whole"))
      // Ends behind the commit after batch 12, before its validation is done.
      let stop = StopSignal()
      try harness.train(
        path("cut"), until: 20, stop: stop, observer: { if $0.step == 11 { stop.request() } })
      #expect(try Harness.cursor(path("cut")) == 12)
      #expect(try Self.records(path("cut")) == [whole[0]])
      let file = "\(path("whole"))/metrics.jsonl"
      let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").prefix(2)
      try (lines.joined(separator: "\n") + "\n").write(
        toFile: "\(path("cut"))/metrics.jsonl", atomically: false, encoding: .utf8)
      try harness.train(path("cut"), until: 20)
      #expect(try Self.records(path("cut")) == whole)
      #expect(try Harness.digest(path("cut")) == Harness.digest(path("whole")))
    }
  }

  @Test func aHalfMadeCopyOfAKilledRunIsRemoved() throws {
    try withData { data, path in
      var configuration = Self.configuration()
      configuration.run.maximumBatches = 4
      _ = try request(data, path("model"), configuration, memory: 64 << 20).run()
      let partial = "\(path("model"))/best.partial"
      try FileManager.default.createDirectory(atPath: partial, withIntermediateDirectories: false)
      try Data(count: 4096).write(to: URL(fileURLWithPath: partial + "/data.mdb"))
      configuration.run.maximumBatches = 5
      _ = try request(data, path("model"), configuration, memory: 64 << 20).run()
      #expect(!FileManager.default.fileExists(atPath: partial))
    }
  }

  @Test func keepingTheBestCountsTheDenseRecord() throws {
    try withData { data, path in
      var configuration = Self.configuration()
      configuration.model.network.top = [2048, 1]
      configuration.run.keepsBest = true
      let harness = try Harness(data, configuration)
      let record = harness.setup.denseRecordBytes
      #expect(record > 100_000)
      let least = try #require(harness.needs.validation).bytes.lowerBound
      // The copy's buffer of it and its pages.
      let rows =
        MemoryCosts.openStoreBytes + MemoryCosts.copyBytes(blocks: 64, layout: harness.setup.rowLayout)
      #expect(least >= rows + 2 * record)
    }
  }

  @Test func progressOfAValidationIsTold() throws {
    try withData { data, path in
      var run = request(data, path("model"), Self.configuration(), memory: 64 << 20)
      var told: [Int] = []
      run.scored = { done, total in
        #expect(total == 160)
        told.append(done)
      }
      _ = try run.run()
      #expect(told == [32, 64, 96, 128, 160] + [32, 64, 96, 128, 160] + [32, 64, 96, 128, 160])
    }
  }

  @Test func anUndefinedMetricSaysWhy() throws {
    try withData { data, _ in
      var control = Self.configuration().control
      for (metric, reason) in [
        (ValidationMetric.groupedAUC, "no group has samples of both classes"), (.auc, "one class only"),
      ] {
        control.metric = metric
        let validation = try #require(try Validation(dataset: Dataset(opening: data), control: control))
        let ranking = RankingMetrics()
        try ranking.add(score: 0.5, label: 1)
        let error = #expect(throws: ChanterError.self) {
          try validation.value(Validation.Result(summary: ranking.finish(), groupedAUC: nil))
        }
        #expect(error?.message.contains(reason) == true && error?.message.contains("--metric") == true)
      }
    }
  }

  @Test func aChangedKeyIsNamedWithItsLine() throws {
    try withData { data, path in
      func configuration(_ more: String) throws -> Configuration {
        let text = "dimension: 4\nbottom: [8, 4]\ntop: [16, 1]\nmax_batches: 2\n" + more
        try text.write(toFile: path("model.yaml"), atomically: false, encoding: .utf8)
        return try ConfigurationReader.read(path: path("model.yaml"))
      }
      _ = try request(data, path("model"), configuration(""), memory: 64 << 20).run()
      for (more, message) in [
        (
          "patience: 0\nschedule:\n  warmup_batches: 3\n",
          "model.yaml:7: schedule is type constant, warmup_batches 3"
        ),
        ("positive_weight: 2\n", "model.yaml:5: positive_weight is 2.0 now and was 1.0"),
        ("\nseed: 9\n", "model.yaml:6: seed is 9 now"),
      ] {
        let error = #expect(throws: ChanterError.self) {
          try request(data, path("model"), configuration(more), memory: 64 << 20).run()
        }
        #expect(error?.message.contains(message) == true, "\(error?.description ?? "")")
      }
    }
  }

  @Test func patienceStopsBothTrainersAtTheSameBatch() throws {
    try withData { data, path in
      // Random labels: no value stays the best for long.
      let configuration = Self.configuration(every: .batches(2), patience: 2, epochs: 3)
      let plain = try request(data, path("plain"), configuration, memory: nil).run()
      #expect(plain.end == .stoppedEarly)
      let run = try request(data, path("model"), configuration, memory: 64 << 20).run()
      #expect(run.end == .stoppedEarly && run.best?.step == plain.best?.step)
      let records = try Self.records(path("model"))
      #expect(try records == Self.records(path("plain")))
      #expect(records.last?.contains("\"stops\":true") == true)
      let cursor = try Harness.cursor(path("model"))
      #expect(cursor < 60 && cursor == (run.best?.step ?? 0) + 4)
      let digest = try Harness.digest(path("model"))
      #expect(try Harness.digest(path("plain")) == digest)
      let again = try request(data, path("model"), configuration, memory: 64 << 20).run()
      #expect(again.end == .stoppedEarly && again.progress.counters.batches == 0)
      #expect(try Harness.digest(path("model")) == digest)
      #expect(try Self.records(path("model")) == records)
    }
  }

  @Test func theBestModelIsKept() throws {
    try withData { data, path in
      var configuration = Self.configuration(every: .batches(2), patience: 2, epochs: 3)
      configuration.run.keepsBest = true
      var copies: [Int] = []
      var training = request(data, path("model"), configuration, memory: 64 << 20)
      training.validated = { outcome in
        #expect((outcome.copy != nil) == outcome.record.isBest)
        if let copy = outcome.copy {
          #expect(copy.bytes > 0)
          copies.append(outcome.record.step)
        }
      }
      let run = try training.run()
      #expect(copies.last == run.best?.step)
      let best = try Scorer(modelPath: "\(path("model"))/best")
      #expect(best.cursor == run.best?.step)
      let ranking = RankingMetrics()
      try best.score(Dataset(opening: data), split: .valid, memory: nil) { batch, scores in
        for sample in 0..<batch.sampleCount {
          try ranking.add(score: scores[sample], label: batch.labels[sample])
        }
      }
      #expect(try ranking.finish().logLoss == run.best?.value)
      #expect(!FileManager.default.fileExists(atPath: "\(path("model"))/best.partial"))
    }
  }

  @Test(arguments: [(2, 0.02, 7), (3, 0.05, 64), (1, 1, 3)])
  func thePlanForetellsARunThatValidates(epochs: Int, share: Double, commitInterval: Int) throws {
    try withData(batches: 50) { data, path in
      let configuration = Self.configuration(every: .batches(9), lookahead: 3, epochs: epochs)
      let harness = try Harness(data, configuration, commitInterval: commitInterval)
      let memory = harness.needs.budget(lookahead: 3, share: share)
      var plan = PlanRequest(datasetPath: data, configuration: configuration, memory: memory)
      plan.commitInterval = commitInterval
      let report = try plan.run()
      var training = request(data, path("model"), configuration, memory: memory)
      training.commitInterval = commitInterval
      var counted = try training.run().progress.counters
      counted.lossSum = 0
      #expect(counted == report.counters)
      let part = try #require(report.memory.split.first { $0.name == "validation" })
      #expect(part.bytes >= report.memory.validationBytes && report.memory.validationBytes > 0)
      #expect(report.memory.total <= memory)
    }
  }

  @Test func theMinimumWithValidationWorksAndOneByteLessDoesNot() throws {
    try withData { data, path in
      var configuration = Self.configuration()
      configuration.run.keepsBest = true
      let least = try Harness(data, configuration).needs.minimum
      #expect(try request(data, path("model"), configuration, memory: least).run().end == .finished)
      let error = #expect(throws: ChanterError.self) {
        try request(data, path("other"), configuration, memory: least - 1).run()
      }
      #expect(error?.kind == .budget)
    }
  }

  @Test func aDatasetWithoutValidationIsRefused() throws {
    try withTemporaryDirectory { directory in
      let data = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: data, batches: 4, batchSize: 16)
      let error = #expect(throws: ChanterError.self) {
        try request(data, directory.path + "/m", Self.configuration(), memory: 1 << 26).run()
      }
      #expect(error?.description.contains("no validation split") == true)
    }
  }
}
