import Foundation
import Primitives

@testable import BatchStore

/// The work file from which preprocessing goes on after it was killed.
enum SpoolFuzzing {
  private static let chunkSamples = 8

  /// The first byte says what samples consist of, the others are a spool, whose checksums are mended.
  static func spool(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, rest) = bytes.choice
    let shape = StoreFuzzing.manifest(variant: choice).shape
    var file = Array(rest)
    var record = 0
    while record + RecordHeader.bytes <= file.count {
      let body = record + RecordHeader.bytes
      file.mendChecksum(of: record..<body - 4)
      let end = body + Int(file.integer(UInt32.self, at: body - 8))
      guard end <= file.count, end > body + 4 else { break }
      file.put(file.checksum(of: body + 4..<end), at: body)
      record = end
    }
    try withFolder { folder in
      let path = "\(folder)/spool"
      try file.withUnsafeBytes { try File(creating: path).write($0) }
      var values = 0
      guard
        let recovered = try SampleSpool.recover(
          path, in: folder, shape: shape, chunkSamples: chunkSamples, value: { values += $1.count })
      else { throw ChanterError(.badInput, "there is no mark") }
      let spool = recovered.spool
      try require(values <= 256 * file.count, "values come from the file")
      try require(File.regularSize(path) ?? .max <= file.count, "a spool is cut and never lengthened")
      try check(recovered.rest)
      let reader = try SampleSpoolReader(spool)
      let samples = SampleBatch(shape: shape, capacity: chunkSamples)
      for first in stride(from: 0, to: spool.sampleCount, by: chunkSamples) {
        let range = first..<min(spool.sampleCount, first + chunkSamples)
        try reader.read(range, into: samples)
        try require(samples.sampleCount == range.count, "all samples are there")
        try check(samples)
      }
      // It goes on behind its last mark.
      guard spool.sampleCount % chunkSamples == 0 else { return }
      guard recovered.rest.sampleCount > 0 else { return }
      let count = spool.sampleCount + recovered.rest.sampleCount
      try spool.append([recovered.rest], WorkerPool(threadCount: 1))
      try require(spool.sampleCount == count, "samples are counted")
    }
  }

  /// What everything that uses samples relies on.
  private static func check(_ samples: SampleBatch) throws {
    try require(samples.sampleCount <= samples.capacity, "samples fit")
    try require(
      samples.labels.prefix(samples.sampleCount).allSatisfy { $0 == 0 || $0 == 1 }, "a label is 0 or 1")
    for bag in samples.bags {
      let offsets = bag.offsets.prefix(samples.sampleCount + 1)
      try require(zip(offsets, offsets.dropFirst()).allSatisfy { $0 <= $1 }, "bags follow one another")
    }
  }
}
