import BatchStore
import Foundation
import Primitives
import Testing

/// Hostile bytes under valid checksums: the decoder gives an error, or a batch whose every index is in range.
@Suite struct DecoderTests {
  static let tables = GoldenTests.tables
  static let layout = BatchLayout(
    shape: SampleShape(tableCount: 2, features: GoldenTests.features, denseCount: 1, hasWeights: true),
    maximumSamples: 3, maximumUniqueRows: 5, maximumEntries: 9)

  /// Decodes a copy that ends exactly where the bytes end; true if it was accepted.
  func decode(_ bytes: [UInt8], into batch: Batch) -> Bool {
    let decoder = BatchDecoder(tables: Self.tables, layout: Self.layout, precision: .fp16)
    do {
      try bytes.withUnsafeBytes {
        try decoder.decode($0, sampleCount: 3, uniqueCount: 5, into: batch, path: "file", offset: 48)
      }
    } catch let error as ChanterError {
      #expect(
        error.path == "file" && error.offset == 48 && (error.kind == .corrupt || error.kind == .unsupported))
      return false
    } catch {
      Issue.record("\(error)")
      return false
    }
    for position in 0..<batch.uniqueCount {
      let key = batch.keys[position]
      #expect(key.table < 2 && key.row < Self.tables[key.table].rows)
      #expect(position == 0 || batch.keys[position - 1] < key)
    }
    #expect(batch.entryOffsets[0] == 0 && batch.entryCount <= Self.layout.maximumEntries)
    for (number, feature) in GoldenTests.features.enumerated() {
      let range = batch.tableOffsets[feature.table]..<batch.tableOffsets[feature.table + 1]
      let entries = batch.entryOffsets[number]..<batch.entryOffsets[number + 1]
      #expect(feature.isBag || entries.count == 3)
      for entry in entries { #expect(range.contains(batch.inverse[Int(entry)])) }
      if feature.isBag {
        let offsets = Array(batch.bagOffsets.prefix(4))
        #expect(offsets[0] == 0 && offsets == offsets.sorted() && Int(offsets[3]) == entries.count)
      }
    }
    #expect(batch.weights.prefix(3).allSatisfy { $0 > 0 && $0 < .infinity })
    return true
  }

  @Test func everyFlippedBitIsRefusedOrInRange() {
    let batch = Batch(layout: Self.layout)
    #expect(decode(GoldenTests.raw, into: batch))
    var refused = 0
    for bit in 0..<8 * GoldenTests.raw.count {
      var bytes = GoldenTests.raw
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      if !decode(bytes, into: batch) { refused += 1 }
    }
    // All of the headers, most of rows, inverse and lengths; not labels, dense columns or hints.
    #expect(refused > 250)
  }

  @Test func everyLengthButTheRightOneIsRefused() {
    let batch = Batch(layout: Self.layout)
    for length in 0..<GoldenTests.raw.count {
      #expect(!decode(Array(GoldenTests.raw[..<length]), into: batch))
    }
    #expect(!decode(GoldenTests.raw + [0], into: batch))
  }

  @Test func randomChangesAreRefusedOrInRange() {
    let batch = Batch(layout: Self.layout)
    let random = CounterRandom(seed: 2, stream: 2)
    for round in 0..<3000 {
      let own = CounterRandom(random, UInt64(round))
      var bytes = GoldenTests.raw
      for change in 0..<1 + own.below(6, 0) {
        bytes[Int(own.below(UInt64(bytes.count), 2 * change + 1))] = UInt8(
          truncatingIfNeeded: own.bits(2 * change + 2))
      }
      _ = decode(bytes, into: batch)
    }
  }
}
