/// Sizes inside a decompressed frame.
enum FrameShape {
  /// Per table: unique rows.
  static let tableHeaderBytes = 4
  /// Per bag: entries.
  static let bagHeaderBytes = 4
  /// Codec of the dense columns, flags, two zeros.
  static let codecBytes = 4
  /// A flag: samples have weights.
  static let hasWeights: UInt8 = 1
  /// A flag: samples have times.
  static let hasTimes: UInt8 = 2

  static func flags(_ shape: SampleShape) -> UInt8 {
    (shape.hasWeights ? hasWeights : 0) | (shape.hasTimes ? hasTimes : 0)
  }

  /// Byte planes that hold `value` and everything below: 0 for 0.
  static func planes(for value: UInt32) -> Int { (32 - value.leadingZeroBitCount + 7) / 8 }

  static func bitBytes(_ count: Int) -> Int { (count + 7) / 8 }

  /// Bytes of the headers, which come first.
  static func headerBytes(_ shape: SampleShape) -> Int {
    shape.tableCount * tableHeaderBytes + shape.bagCount * bagHeaderBytes + codecBytes
  }

  /// The most bytes of a frame of this shape.
  static func maximumRawBytes(_ shape: SampleShape, samples: Int, unique: Int, entries: Int) -> Int {
    let columns = shape.denseCount + (shape.hasWeights ? 1 : 0)
    let lists = shape.tableCount + shape.featureCount + shape.bagCount
    let times = shape.hasTimes ? 8 + 2 * (PackedNumbers.headBytes + 4 * samples) : 0
    return headerBytes(shape) + bitBytes(samples) + times + columns * (4 + 4 * samples)
      + lists * PackedNumbers.headBytes + 4 * (unique + entries + shape.bagCount * samples)
      + PackedNumbers.headBytes + 2 * unique + bitBytes(unique)
  }
}
