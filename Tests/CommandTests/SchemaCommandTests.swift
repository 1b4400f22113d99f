import Foundation
import TestSupport
import Testing

/// Logs with a schema, as a user goes through them.
@Suite struct SchemaCommandTests {
  private let small = Command.configuration("dlrm-small.yaml")

  /// Multi-valued genres, order and split by time, three parts, and raw input scored as the dataset is.
  @Test func ratingsGoFromInferenceToPrediction() throws {
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let genres = ["Action", "Comedy", "Drama", "War"]
      var text = "userId,movieId,rating,timestamp,genres\n"
      for number in 0..<2400 {
        let (user, movie) = (number * 7919 % 97, number * 31 % 53)
        let names = genres.indices.filter { (movie + $0) % 3 == 0 }.map { genres[$0] }.joined(separator: "|")
        text += "\(user),\(movie),\((user + movie) % 5 + 1),\(number * 577 % 2400),\(names)\n"
      }
      try text.write(toFile: path("ratings.csv"), atomically: true, encoding: .utf8)
      let inferred = try Command.succeed("schema", "infer", path("ratings.csv"))
      #expect(inferred.contains("type: label") && inferred.contains("separator: \"|\""))
      #expect(inferred.contains("2400 lines"))
      let schema = inferred.replacingOccurrences(
        of: "separator: \",\"",
        with: "separator: \",\"\norder: time\nsplit: { valid_from: 1800, test_from: 2100 }")
      try schema.write(toFile: path("ratings.yaml"), atomically: true, encoding: .utf8)
      let made = try Command.json(
        Command.succeed(
          "preprocess", path("ratings.csv"), "--schema", path("ratings.yaml"), "--out", path("data"),
          "--batch-size", "64", "--format", "json"))
      #expect(made["train_samples"]?.number == 1800 && made["valid_samples"]?.number == 300)
      #expect(made["holdout_samples"]?.number == 300)
      let sample = try Command.succeed("inspect", path("data"), "--sample", "5")
      #expect(sample.contains("genres") && sample.contains("movieId"))
      try Command.succeed(
        "train", path("data"), "--out", path("model"), "--config", small, "--memory", "64MiB", "--format",
        "json")
      for split in ["train", "valid", "holdout"] {
        let measures = try Command.json(
          Command.succeed("evaluate", path("model"), path("data"), "--split", split, "--format", "json"))
        #expect(measures["samples"]?.number == (split == "train" ? 1800 : 300))
      }
      // Raw lines in the order of time are the samples in the order of the parts.
      let lines = text.split(separator: "\n")
      let ordered = lines.dropFirst().sorted {
        Int($0.split(separator: ",")[3]) ?? 0 < Int($1.split(separator: ",")[3]) ?? 0
      }
      try ([lines[0]] + ordered).joined(separator: "\n").write(
        toFile: path("ordered.csv"), atomically: true, encoding: .utf8)
      let raw = try Command.succeed("predict", path("model"), path("ordered.csv"))
      #expect(raw.split(separator: "\n").count == 2400)
      #expect(try raw == Command.succeed("predict", path("model"), path("data")))
    }
  }

  @Test(.enabled(if: sharedData("adult/adult.data") != nil, "UCI Adult is not beside this checkout"))
  func adultIsTrainedOnThroughItsPreset() throws {
    let (train, test) = (
      try #require(sharedData("adult/adult.data")).path, try #require(sharedData("adult/adult.test")).path
    )
    try withTemporaryDirectory { directory in
      func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
      let made = try Command.json(
        Command.succeed(
          "preprocess", train, "--test", test, "--schema", "adult", "--out", path("data"), "--batch-size",
          "256", "--format", "json"))
      #expect(made["train_samples"]?.number == 32_561 && made["holdout_samples"]?.number == 16_281)
      try Command.succeed(
        "train", path("data"), "--out", path("model"), "--config", small, "--memory", "64MiB", "--format",
        "json")
      let measures = try Command.json(
        Command.succeed("evaluate", path("model"), path("data"), "--format", "json"))
      #expect(try #require(measures["auc"]?.number) > 0.89)
      #expect(
        try Command.succeed("predict", path("model"), test)
          == Command.succeed("predict", path("model"), path("data"), "--split", "holdout"))
    }
  }

  @Test func usageIsExplained() throws {
    #expect(try Command.succeed("schema").contains("criteo-terabyte"))
    #expect(try Command.succeed("schema", "show", "avazu").contains("Where to get it"))
    let both = try Command.run("preprocess", "a", "--test", "b", "--holdout", "0.2", "--out", "c")
    #expect(both.status == 64 && both.errors.contains("--holdout and --test"))
    let unknown = try Command.run("preprocess", "a", "--schema", "nothing", "--out", "c")
    #expect(unknown.status == 1 && unknown.errors.contains("no such preset (criteo-kaggle"))
  }
}
