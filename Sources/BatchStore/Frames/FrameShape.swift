/// Sizes inside a decompressed frame.
enum FrameShape {
  /// fp32 dense columns. Do not renumber.
  static let denseFloat32: UInt8 = 1
  /// Per table: unique rows, delta planes, inverse planes.
  static let tableHeaderBytes = 8
  static let codecBytes = 4

  /// Byte planes that hold `value` and everything below: 0 for 0.
  static func planes(for value: UInt32) -> Int { (32 - value.leadingZeroBitCount + 7) / 8 }

  static func bitBytes(_ count: Int) -> Int { (count + 7) / 8 }

  /// The most bytes of a frame of this shape.
  static func maximumRawBytes(tables: Int, dense: Int, samples: Int, unique: Int) -> Int {
    tables * tableHeaderBytes + codecBytes + bitBytes(samples) + dense * samples * 4 + unique * 4
      + tables * samples * 3 + 1 + bitBytes(unique) + unique * 2
  }
}
