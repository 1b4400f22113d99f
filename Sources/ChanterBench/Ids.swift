import ArgumentParser
import BatchStore
import Foundation
import Primitives

/// Writes the rows that a dataset's training samples use to a plain file, for other programs to train on the same.
struct Ids: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the rows of a dataset's samples as [tables, samples], unsigned 32 bit.")
  @Argument(help: "Dataset directory, of tables with one value a sample.") var dataset: String
  @Argument(help: "File to write.") var out: String

  func run() throws {
    let dataset = try Dataset(opening: dataset)
    let reader = try dataset.reader(.train)
    let batch = Batch(layout: reader.layout)
    let tables = reader.layout.tableCount
    let samples = dataset.manifest.train.samples
    guard reader.layout.bagCount == 0, reader.layout.featureCount == tables else {
      throw ChanterError(.unsupported, "its features are not one value a table", path: dataset.path)
    }
    let rows = AlignedBuffer<UInt32>(count: tables * samples)
    var first = 0
    for index in 0..<reader.batchCount {
      try reader.read(index, into: batch)
      for table in 0..<tables {
        let start = Int(batch.entryOffsets.base[table])
        for sample in 0..<batch.sampleCount {
          let key = batch.keys.base[Int(batch.inverse.base[start + sample])]
          rows.base[table * samples + first + sample] = key.row
        }
      }
      first += batch.sampleCount
    }
    let file = FileManager.default.createFile(atPath: out, contents: Data(rows.rawBytes))
    if !file { throw ChanterError(.io, "cannot write it", path: out) }
  }
}
