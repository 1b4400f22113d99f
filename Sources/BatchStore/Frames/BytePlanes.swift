/// Columns of numbers as byte planes: all lowest bytes, then all second bytes, and so on. Equal bytes come to lie
/// together, which is what lz4 finds.
enum BytePlanes {
  /// Appends `planes` planes of the values less `base`.
  static func append(
    _ values: UnsafePointer<UInt32>, count: Int, minus base: UInt32, planes: Int,
    to target: GrowableBuffer<UInt8>
  ) {
    for plane in 0..<planes {
      let out = target.extend(by: count)
      let shift = UInt32(8 * plane)
      for index in 0..<count { out[index] = UInt8(truncatingIfNeeded: (values[index] &- base) >> shift) }
    }
  }

  /// Puts planes together, adds `base` to each value, and returns the largest value before the addition.
  static func read(
    _ source: UnsafeRawPointer, planes: Int, count: Int, plus base: UInt32,
    into target: UnsafeMutablePointer<UInt32>
  ) -> UInt32 {
    let plane0 = source.assumingMemoryBound(to: UInt8.self)
    var largest: UInt32 = 0
    switch planes {
    case 0: target.update(repeating: base, count: count)
    case 1:
      for index in 0..<count {
        let value = UInt32(plane0[index])
        largest = max(largest, value)
        target[index] = value &+ base
      }
    case 2:
      let plane1 = plane0 + count
      for index in 0..<count {
        let value = UInt32(plane0[index]) | UInt32(plane1[index]) << 8
        largest = max(largest, value)
        target[index] = value &+ base
      }
    default:
      for index in 0..<count {
        var value: UInt32 = 0
        for plane in 0..<planes { value |= UInt32(plane0[plane &* count &+ index]) << UInt32(8 &* plane) }
        largest = max(largest, value)
        target[index] = value &+ base
      }
    }
    return largest
  }

  /// Appends a row-major matrix column after column, each as four planes.
  static func append(
    _ values: UnsafePointer<Float>, rows: Int, columns: Int, to target: GrowableBuffer<UInt8>
  ) {
    for column in 0..<columns {
      let out = target.extend(by: 4 * rows)
      for row in 0..<rows {
        let bits = values[row &* columns &+ column].bitPattern
        out[row] = UInt8(truncatingIfNeeded: bits)
        out[rows &+ row] = UInt8(truncatingIfNeeded: bits >> 8)
        out[2 &* rows &+ row] = UInt8(truncatingIfNeeded: bits >> 16)
        out[3 &* rows &+ row] = UInt8(truncatingIfNeeded: bits >> 24)
      }
    }
  }

  /// The row-major matrix of such columns.
  static func read(
    _ source: UnsafeRawPointer, rows: Int, columns: Int, into target: UnsafeMutablePointer<Float>
  ) {
    for column in 0..<columns {
      let plane0 = source.assumingMemoryBound(to: UInt8.self) + 4 * rows * column
      let plane1 = plane0 + rows
      let plane2 = plane1 + rows
      let plane3 = plane2 + rows
      let out = target + column
      for row in 0..<rows {
        let low = UInt32(plane0[row]) | UInt32(plane1[row]) << 8
        let high = UInt32(plane2[row]) | UInt32(plane3[row]) << 8
        out[row &* columns] = Float(bitPattern: low | high << 16)
      }
    }
  }
}
