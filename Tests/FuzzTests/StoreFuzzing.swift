import Foundation
import Primitives

@testable import BatchStore

/// What a dataset consists of. Checksums are mended, so that what lies below them is reached.
enum StoreFuzzing {
  /// What the golden dataset holds, whose files are where fuzzing begins.
  private static let golden: Manifest = {
    guard let manifest = try? Manifest.read(from: "\(FuzzTarget.tests)/BatchStoreTests/Golden/manifest.json")
    else { fatalError("the golden manifest cannot be read") }
    return manifest
  }()

  /// What a dataset with the golden one's features can hold otherwise: bit 0 takes dense columns in full precision, bit 1 leaves out
  /// weights, bit 2 adds times.
  static func manifest(variant: UInt8) -> Manifest {
    var manifest = golden
    if variant & 1 != 0 { manifest.densePrecision = .fp32 }
    if variant & 2 != 0 { manifest.hasWeights = false }
    if variant & 4 != 0 { manifest.hasTimes = true }
    return manifest
  }

  /// The first byte says how many samples there are, up to 31, and in its highest bits what they hold; the others are a raw batch.
  static func frame(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, raw) = bytes.choice
    let samples = Int(choice & 31)
    let golden = manifest(variant: choice >> 5)
    let layout = BatchLayout(
      shape: golden.shape, maximumSamples: samples, maximumUniqueRows: 64, maximumEntries: 512)
    let (unique, _) = try BatchDecoder.counts(raw, golden.shape, samples: samples, path: "frame")
    guard unique <= layout.maximumUniqueRows else { return }
    let batch = Batch(layout: layout)
    let decoder = BatchDecoder(tables: golden.tables, layout: layout, precision: golden.densePrecision)
    try decoder.decode(
      raw, sampleCount: samples, uniqueCount: unique, into: batch, path: "frame", offset: 0)
    try check(batch, golden.tables)
  }

  /// What everything that uses a batch relies on.
  private static func check(_ batch: Batch, _ tables: [TableLayout]) throws {
    let offsets = batch.tableOffsets.base
    for table in tables.indices {
      let keys = batch.keys.prefix(Int(offsets[table + 1])).dropFirst(Int(offsets[table]))
      try require(zip(keys, keys.dropFirst()).allSatisfy { $0 < $1 }, "the rows of a table ascend")
      try require(
        keys.allSatisfy { $0.table == table && $0.row < tables[table].rows }, "rows lie in their table")
    }
    let entries = batch.entryOffsets.base
    for (number, feature) in batch.layout.features.enumerated() {
      let uses = batch.inverse.prefix(Int(entries[number + 1])).dropFirst(Int(entries[number]))
      try require(
        uses.allSatisfy { (offsets[feature.table]..<offsets[feature.table + 1]).contains($0) },
        "entries use rows of their table")
    }
    if batch.layout.shape.hasWeights {
      try require(
        batch.weights.prefix(batch.sampleCount).allSatisfy { $0 > 0 && $0.isFinite }, "weights are above 0")
    }
    for bag in 0..<batch.layout.bagCount {
      let starts = UnsafeBufferPointer(
        start: batch.bagOffsets.base + bag * (batch.sampleCount + 1), count: batch.sampleCount + 1)
      try require(zip(starts, starts.dropFirst()).allSatisfy { $0 <= $1 }, "bags follow one another")
    }
  }

  /// The training segment of the golden dataset, or with some of the lowest three bits of its first byte changed of one that holds
  /// something else.
  static func segment(_ bytes: UnsafeRawBufferPointer) throws {
    let variant = bytes.choice.0 ^ UInt8(ascii: "C")
    let golden = manifest(variant: variant)
    let batches = golden.train.batches
    let indexBytes = batches * SegmentFormat.indexEntryBytes
    let index = bytes.count - SegmentFormat.footerBytes - indexBytes
    guard index >= SegmentFormat.headerBytes else { return }
    var file = Array(bytes)
    file[0] ^= variant & 7
    file.mendChecksum(of: 0..<SegmentFormat.headerBytes - 4)
    for batch in 0..<batches {
      let offset = Int(clamping: file.integer(UInt64.self, at: index + batch * SegmentFormat.indexEntryBytes))
      if offset <= index - SegmentFormat.frameHeaderBytes {
        file.mendChecksum(of: offset..<offset + SegmentFormat.frameHeaderBytes - 4)
        let packed = offset + SegmentFormat.frameHeaderBytes
        let end = packed + Int(file.integer(UInt32.self, at: offset + 20))
        if packed + 4 < end, end <= index {
          file.put(file.checksum(of: packed + 4..<end), at: packed)
        }
      }
    }
    let checksum = file.withUnsafeBytes {
      CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[index..<index + indexBytes]))
    }
    file.put(checksum, at: index + indexBytes + 12)
    file.mendChecksum(of: index + indexBytes..<file.count - 4)
    try withFolder { folder in
      var manifest = golden
      manifest.train.segments = [
        SegmentManifest(batches: batches, bytes: file.count, indexChecksum: checksum)
      ]
      manifest.train.maximumRawBytes = FrameShape.maximumRawBytes(
        golden.shape, samples: golden.batchSize, unique: golden.train.maximumUniqueRows,
        entries: golden.train.maximumEntries)
      manifest.train.maximumCompressedBytes = LZ4Block.bound(manifest.train.maximumRawBytes)
      manifest.train.rawBytes = batches * manifest.train.maximumRawBytes
      manifest.train.compressedBytes = batches * manifest.train.maximumCompressedBytes
      manifest.valid = SplitManifest()
      manifest.holdout = SplitManifest()
      manifest.parts[0].valid = 0
      manifest.parts[0].holdout = 0
      _ = try manifest.write(to: "\(folder)/\(Manifest.fileName)")
      try file.withUnsafeBytes {
        try File(creating: "\(folder)/\(SegmentFormat.fileName(.train, 0))").write($0)
      }
      let dataset = try Dataset(opening: folder)
      let reader = try dataset.reader(.train)
      let batch = Batch(layout: reader.layout)
      for number in 0..<reader.batchCount {
        try reader.read(number, into: batch)
        try check(batch, manifest.tables)
      }
    }
  }

  /// A manifest as text, or after a NUL numbers that are put into the golden one.
  static func manifest(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, rest) = bytes.choice
    try withFolder { folder in
      let path = "\(folder)/\(Manifest.fileName)"
      if choice == 0 {
        _ = try changed(rest).write(to: path)
      } else if let manifest = try? JSONDecoder().decode(Manifest.self, from: Data(bytes)) {
        _ = try manifest.write(to: path)
      } else {
        try File(creating: path).write(bytes)
      }
      let manifest = try Manifest.read(from: path)
      for split in Split.allCases {
        for (number, segment) in manifest.split(split).segments.enumerated() {
          guard number < 16, (0..<1 << 30).contains(segment.bytes) else { return }
          try File(creating: "\(folder)/\(SegmentFormat.fileName(split, number))").truncate(to: segment.bytes)
        }
      }
      let dataset = try Dataset(opening: folder)
      for split in Split.allCases { try check(manifest.spans(of: split), batchSize: manifest.batchSize) }
      for split in Split.allCases {
        let bytes = dataset.layout(of: split).bytes + BatchReader.bytes(of: dataset, split: split)
        guard bytes < 1 << 20, dataset.manifest.split(split).batches > 0 else { continue }
        let reader = try dataset.reader(split)
        try? reader.read(0, into: Batch(layout: reader.layout))
      }
    }
  }

  /// The first and the last batches of a split.
  private static func check(_ spans: BatchSpans, batchSize: Int) throws {
    for batch in Set(0..<min(100, spans.batches)).union(max(0, spans.batches - 100)..<spans.batches) {
      let samples = spans.samples(of: batch)
      try require(
        (1...batchSize).contains(samples.count) && samples.upperBound <= spans.samples, "a batch has samples")
      try require(
        spans.batch(holding: samples.lowerBound) == batch && spans.batch(holding: samples.last!) == batch,
        "samples lie in their batch")
      let next = batch + 1 < spans.batches ? spans.samples(of: batch + 1).lowerBound : spans.samples
      try require(next == samples.upperBound, "batches follow one another")
    }
  }

  /// Takes nine bytes at a time: the number of a field and what it becomes.
  private static func changed(_ bytes: UnsafeRawBufferPointer) -> Manifest {
    let own: [WritableKeyPath<Manifest, Int>] = [\.denseCount, \.batchSize]
    let parts: [WritableKeyPath<Manifest, SplitManifest>] = [\.train, \.valid, \.holdout]
    let numbers: [WritableKeyPath<SplitManifest, Int>] = [
      \.samples, \.batches, \.maximumUniqueRows, \.maximumEntries, \.rawBytes, \.compressedBytes,
      \.maximumRawBytes,
      \.maximumCompressedBytes, \.largestUnions[0], \.segments[0].batches, \.segments[0].bytes,
    ]
    var manifest = golden
    var position = 0
    while position + 9 <= bytes.count {
      let field = Int(bytes[position])
      let value = Int(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: position + 1, as: Int64.self))
      position += 9
      if field >= 224, !manifest.parts.isEmpty {
        change(&manifest, field, value)
      } else if field < own.count {
        manifest[keyPath: own[field]] = value
      } else if field == own.count {
        manifest.tables[0] = TableLayout(name: "C1", rows: UInt32(truncatingIfNeeded: value))
      } else if field == own.count + 1 {
        manifest.features[0] = FeatureLayout(name: "first", table: value, isBag: value & 1 == 1)
      } else {
        manifest[keyPath: parts[field % parts.count].appending(path: numbers[field / 3 % numbers.count])] =
          value
      }
    }
    return manifest
  }

  /// Makes parts, and vocabularies before them, and changes what they say.
  private static func change(_ manifest: inout Manifest, _ field: Int, _ value: Int) {
    let last = manifest.parts.count - 1
    switch field % 8 {
    case 0:
      // The last samples of training are another part.
      guard manifest.parts.count < 8 else { return }
      var part = manifest.parts[last]
      (part.train, part.valid, part.holdout) = (value, 0, 0)
      manifest.parts[last].train &-= value
      manifest.parts[last].vocabularyIdentity = "before \(value)"
      manifest.parts.append(part)
    case 1: manifest.parts[last].train = value
    case 2: manifest.parts[0].valid = value
    case 3: manifest.parts[0].rows[0] = UInt32(truncatingIfNeeded: value)
    case 4: manifest.parts[last].rows.append(UInt32(truncatingIfNeeded: value))
    case 5: manifest.parts[last].batchingIdentity = "\(value)"
    case 6: manifest.earlierVocabularies.append(String(repeating: "0123456789abcdef", count: value & 3))
    default: manifest.parts.removeLast()
    }
  }

  static func vocabulary(_ bytes: UnsafeRawBufferPointer) throws {
    var file = Array(bytes)
    guard file.count >= VocabularyFile.headerBytes else { return }
    file.mendChecksum(of: 0..<VocabularyFile.headerBytes - 4)
    var block = VocabularyFile.headerBytes
    while block + VocabularyFile.blockHeaderBytes <= file.count {
      let first = block + VocabularyFile.blockHeaderBytes
      let count = Int(file.integer(UInt32.self, at: block))
      let end = first + (count == 0 ? 32 : count)
      guard end <= file.count else { break }
      file.put(file.checksum(of: first..<end), at: block + 4)
      if count == 0 { break }
      block = end
    }
    try file.withUnsafeBytes { file in
      try withFile(file) { path in
        let vocabulary = try VocabularyFile.load(path)
        for table in vocabulary.tables.indices {
          guard let value = vocabulary.value(table: table, row: 2) else { continue }
          let row = vocabulary.lookup(table: table, value)
          try require(vocabulary.hashRows != nil || row == 2, "a value is found where it lies")
        }
      }
    }
  }
}

extension [UInt8] {
  func integer<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value {
    withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
  }

  mutating func put(_ value: UInt32, at offset: Int) {
    withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self) }
  }

  func checksum(of range: Range<Int>) -> UInt32 {
    withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  /// Puts the checksum of `range` behind it.
  mutating func mendChecksum(of range: Range<Int>) {
    put(checksum(of: range), at: range.upperBound)
  }
}
