import BatchStore
import Foundation
import Ingest
import Primitives
import Training

/// What `chanter inspect DATASET` writes.
struct DatasetDisplay {
  private let dataset: Dataset
  private let format: OutputFormat
  private let line = ProgressLine()

  init(_ dataset: Dataset, _ format: OutputFormat) {
    self.dataset = dataset
    self.format = format
  }

  private func inspection() -> DatasetInspection {
    var inspection = DatasetInspection(dataset)
    var rate = PhaseRate()
    inspection.progressed = { line.show(rate.describe("reading batches", done: $0, total: $1)) }
    return inspection
  }

  private struct Summary: Encodable {
    struct Part: Encodable {
      let name: String
      let samples: Int
      let batches: Int
      let labelMean: Double
      let bytes: Int
      let bytesPerSample: Double
    }

    struct Table: Encodable {
      let name: String
      let rows: Int
      let usedRows: Int
      let top01: Double
      let top1: Double
      let top10: Double
      let once: Int
      let twice: Int
      let missing: Double
      let rare: Double
      let unseenInHoldout: Double
    }

    /// What was written at a time.
    struct Addition: Encodable {
      let trainSamples: Int
      let validSamples: Int
      let holdoutSamples: Int
      let trainBatches: Int
      let rows: Int
      let vocabulary: String
      let batching: String
    }

    let denseFeatures: Int
    let batchSize: Int
    let vocabulary: String
    let batching: String
    let splits: [Part]
    let parts: [Addition]
    let tables: [Table]
  }

  func summary() throws {
    let manifest = dataset.manifest
    let uses = try inspection().tables()
    line.clear()
    let parts = Split.allCases.map { split in
      let part = manifest.split(split)
      let bytes = part.segments.reduce(0) { $0 + $1.bytes }
      return Summary.Part(
        name: split.rawValue, samples: part.samples, batches: part.batches, labelMean: part.labelMean,
        bytes: bytes, bytesPerSample: part.samples > 0 ? Double(bytes) / Double(part.samples) : 0)
    }
    let additions = manifest.parts.enumerated().map { number, part in
      Summary.Addition(
        trainSamples: part.train, validSamples: part.valid, holdoutSamples: part.holdout,
        trainBatches: manifest.batches(of: .train, parts: number + 1)
          - manifest.batches(of: .train, parts: number),
        rows: part.rows.reduce(0) { $0 + Int($1) }, vocabulary: part.vocabularyIdentity,
        batching: part.batchingIdentity)
    }
    if format == .json {
      return try printJSON(
        Summary(
          denseFeatures: manifest.denseCount, batchSize: manifest.batchSize,
          vocabulary: manifest.vocabularyIdentity, batching: manifest.batchingIdentity, splits: parts,
          parts: additions,
          tables: uses.map {
            Summary.Table(
              name: $0.name, rows: $0.rows, usedRows: $0.usedRows, top01: $0.topShares[0],
              top1: $0.topShares[1], top10: $0.topShares[2], once: $0.once, twice: $0.twice,
              missing: $0.missing, rare: $0.rare, unseenInHoldout: $0.unseenInHoldout)
          }))
    }
    printTable([
      ("dense features", grouped(manifest.denseCount)),
      ("tables", "\(uses.count), \(grouped(uses.reduce(0) { $0 + $1.rows })) rows"),
      ("batch size", grouped(manifest.batchSize)),
      ("vocabulary", manifest.vocabularyIdentity + (manifest.hasVocabulary ? "" : " (no raw values)")),
      ("batching", manifest.batchingIdentity),
    ])
    printHeading("splits")
    printColumns(
      ["split", "samples", "batches", "label mean", "on disk", "bytes a sample"],
      parts.map {
        [
          $0.name, grouped($0.samples), grouped($0.batches), fixed($0.labelMean, 4),
          ByteSize.format($0.bytes), fixed($0.bytesPerSample, 1),
        ]
      })
    if additions.count > 1 {
      printHeading("parts: samples that each added, and what the dataset was with it")
      printColumns(
        ["part", "train", "valid", "holdout", "train batches", "rows", "vocabulary", "batching"],
        additions.enumerated().map {
          [
            "\($0 + 1)", grouped($1.trainSamples), grouped($1.validSamples), grouped($1.holdoutSamples),
            grouped($1.trainBatches), grouped($1.rows), $1.vocabulary, $1.batching,
          ]
        })
    }
    printHeading(
      "tables: share of the training accesses that the most used rows take, and values by their uses")
    printColumns(
      [
        "table", "rows", "used", "top 0.1%", "top 1%", "top 10%", "once", "twice", "missing", "rare",
        "unseen in holdout",
      ],
      uses.map {
        [$0.name, grouped($0.rows), grouped($0.usedRows)] + $0.topShares.map { percent($0, 1) } + [
          grouped($0.once), grouped($0.twice), percent($0.missing), percent($0.rare),
          percent($0.unseenInHoldout),
        ]
      })
  }

  private struct FrequentValue: Encodable {
    let row: UInt32
    let value: String?
    let count: Int
    let share: Double
  }

  private struct Frequent: Encodable {
    let table: String
    let rows: Int
    let values: [FrequentValue]
  }

  /// The most frequent values of a table.
  func table(_ name: String, top: Int) throws {
    let table = try dataset.manifest.tables.number(of: name, path: dataset.path)
    let used = try inspection().mostUsed(of: table, count: top)
    let raw = try values(of: used.map { RowKey(table: table, row: $0.row) })
    line.clear()
    let samples = max(1, dataset.manifest.train.samples)
    let entries = used.map { row, uses in
      FrequentValue(
        row: row, value: valueText(row: row, raw[RowKey(table: table, row: row)]), count: uses,
        share: Double(uses) / Double(samples))
    }
    let rows = Int(dataset.manifest.tables[table].rows)
    if format == .json { return try printJSON(Frequent(table: name, rows: rows, values: entries)) }
    printColumns(
      ["value", "row", "training uses", "share"],
      entries.map { [$0.value ?? "-", grouped(Int($0.row)), grouped($0.count), percent($0.share)] })
  }

  /// Raw values by one pass through the vocabulary; none for a dataset that was written from row numbers.
  private func values(of keys: [RowKey]) throws -> [RowKey: [UInt8]] {
    guard dataset.manifest.hasVocabulary else { return [:] }
    var rate = PhaseRate()
    let total = dataset.manifest.tables.reduce(0) { $0 + Int($1.rows) }
    return try VocabularyFile.values(
      of: keys, in: "\(dataset.path)/\(VocabularyFile.fileName)",
      identity: dataset.manifest.vocabularyIdentity,
      progress: { line.show(rate.describe("reading values", done: $0, total: total)) })
  }

  private struct Sample: Encodable {
    struct Value: Encodable {
      let feature: String
      let table: String
      let row: UInt32
      let value: String?
    }

    let sample: Int
    let split: String
    let label: Int
    let time: Int64?
    let dense: [Float]
    let values: [Value]
  }

  func sample(_ number: Int) throws {
    try inspection().forEachSample(in: number..<number + 1) { stored in
      let features = dataset.manifest.features
      let entries = zip(features, stored.rows).flatMap { feature, rows in
        rows.map { (feature: feature.name, key: RowKey(table: feature.table, row: $0)) }
      }
      let raw = try values(of: entries.map(\.key))
      line.clear()
      let sample = Sample(
        sample: number, split: stored.split.rawValue, label: Int(stored.label), time: stored.time,
        dense: stored.dense,
        values: entries.map { feature, key in
          Sample.Value(
            feature: feature, table: dataset.manifest.tables[key.table].name, row: key.row,
            value: valueText(row: key.row, raw[key]))
        })
      if format == .json { return try printJSON(sample) }
      printTable(
        [("sample", "\(grouped(number)) (\(sample.split))"), ("label", "\(sample.label)")]
          + (sample.time.map { [("time", timeText($0))] } ?? [])
          + [("dense", sample.dense.map { "\($0)" }.joined(separator: " "))])
      printLine("")
      printColumns(
        ["feature", "value", "row"],
        sample.values.map { [$0.feature, $0.value ?? "-", grouped(Int($0.row))] }, leading: 2)
    }
  }

  /// A time as the dataset has it, and how people write it if that is known.
  private func timeText(_ time: Int64) -> String {
    guard let schema = dataset.manifest.schema,
      let text = try? Schema(json: schema, path: dataset.path).timeFormat?.text(time)
    else { return "\(time)" }
    return "\(text) (\(time))"
  }

  /// Samples as CSV (RFC 4180): number, part, label, dense features as the model sees them, raw values. An empty value is
  /// empty; a rare one, and one of a dataset without raw values, is its row number after a #. The values of a bag are
  /// separated by a |.
  func export(_ range: Range<Int>) throws {
    let vocabulary = dataset.manifest.hasVocabulary ? try dataset.vocabulary() : nil
    let writer = try LineWriter(path: nil)
    let names =
      ["sample", "split", "label"] + (0..<dataset.manifest.denseCount).map { "dense_\($0 + 1)" }
      + dataset.manifest.features.map(\.name)
    try writer.write(names.map(quoted).joined(separator: ",") + "\n")
    try inspection().forEachSample(in: range) { sample in
      var fields = ["\(sample.number)", sample.split.rawValue, "\(Int(sample.label))"]
      fields += sample.dense.map { "\($0)" }
      for (feature, rows) in zip(dataset.manifest.features, sample.rows) {
        let values = rows.map { row in
          if let value = vocabulary?.value(table: feature.table, row: row) {
            return String(decoding: value, as: UTF8.self)
          }
          return row == Vocabulary.emptyRow ? "" : "#\(row)"
        }
        fields.append(quoted(values.joined(separator: "|")))
      }
      try writer.write(fields.joined(separator: ",") + "\n")
    }
    try writer.finish()
  }

  private func quoted(_ field: String) -> String {
    guard field.utf8.contains(where: { ",\"\r\n".utf8.contains($0) }) else { return field }
    return "\"" + field.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }
}
