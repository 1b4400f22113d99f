/// Sizes inside a decompressed frame.
enum FrameShape {
  /// Per table: unique rows, delta planes.
  static let tableHeaderBytes = 5
  /// Per single-valued feature: inverse planes.
  static let singleHeaderBytes = 1
  /// Per bag: entries, inverse planes, length planes.
  static let bagHeaderBytes = 6
  /// Codec of the dense columns, flags, two zeros.
  static let codecBytes = 4
  /// A flag: samples have weights.
  static let hasWeights: UInt8 = 1

  /// Byte planes that hold `value` and everything below: 0 for 0.
  static func planes(for value: UInt32) -> Int { (32 - value.leadingZeroBitCount + 7) / 8 }

  static func bitBytes(_ count: Int) -> Int { (count + 7) / 8 }

  /// Bytes of the headers, which come first.
  static func headerBytes(_ shape: SampleShape) -> Int {
    shape.tableCount * tableHeaderBytes + shape.singleCount * singleHeaderBytes
      + shape.bagCount * bagHeaderBytes + codecBytes
  }

  /// The most bytes of a frame of this shape.
  static func maximumRawBytes(_ shape: SampleShape, samples: Int, unique: Int, entries: Int) -> Int {
    headerBytes(shape) + bitBytes(samples) + (shape.hasWeights ? 4 * samples : 0)
      + shape.denseCount * samples * 4 + unique * 4 + shape.bagCount * samples * 4 + entries * 4 + 1
      + bitBytes(unique) + unique * 2
  }
}
