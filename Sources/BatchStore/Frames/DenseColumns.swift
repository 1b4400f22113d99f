import Primitives

/// Columns of floats. One column has few values in a batch, so its distinct bit patterns are listed, and of each sample it is
/// stored which of them it has; or, where that takes more bytes, all patterns in byte planes.
struct DenseColumnEncoder {
  private let keys = GrowableBuffer<UInt64>()
  private let order = GrowableBuffer<UInt32>()
  private let scratch = GrowableBuffer<UInt32>()
  private let patterns = GrowableBuffer<UInt32>()

  /// Memory for columns of so many samples, old and new memory while it grows included.
  static func bytes(samples: Int) -> Int { 2 * 20 * samples }

  /// Appends column `column` of a row-major matrix of `columns` columns.
  func append(
    _ values: UnsafePointer<Float>, column: Int, columns: Int, samples: Int, _ precision: DensePrecision,
    to target: GrowableBuffer<UInt8>
  ) {
    patterns.removeAll()
    let pattern = patterns.extend(by: samples)
    switch precision {
    case .fp32:
      for sample in 0..<samples { pattern[sample] = values[sample &* columns &+ column].bitPattern }
    case .fp16:
      for sample in 0..<samples {
        pattern[sample] = UInt32(Float16(values[sample &* columns &+ column]).bitPattern)
      }
    }
    let start = target.count
    appendListed(samples, to: target)
    guard target.count - start > 4 + precision.bytes * samples else { return }
    target.truncate(to: start)
    target.append(integer: UInt32(0))
    BytePlanes.append(pattern, count: samples, minus: 0, planes: precision.bytes, to: target)
  }

  /// Appends the distinct patterns, and which each sample has.
  private func appendListed(_ samples: Int, to target: GrowableBuffer<UInt8>) {
    let pattern = patterns.base
    keys.removeAll()
    order.removeAll()
    scratch.removeAll()
    let key = keys.extend(by: samples)
    for sample in 0..<samples { key[sample] = UInt64(pattern[sample]) }
    let order = order.extend(by: samples)
    let position = scratch.extend(by: samples)
    RadixSort.sort(keys: key, count: samples, order: order, scratch: position)
    // The distances of the distinct patterns come to lie in the sorted places already passed.
    var distinct = 0
    var previous: UInt32 = 0
    for place in 0..<samples {
      let sample = Int(order[place])
      if place == 0 || pattern[sample] != previous {
        order[distinct] = pattern[sample] &- previous
        previous = pattern[sample]
        distinct += 1
      }
      position[sample] = UInt32(truncatingIfNeeded: distinct - 1)
    }
    target.append(integer: UInt32(distinct))
    PackedNumbers.append(order, count: distinct, to: target)
    PackedNumbers.append(position, count: samples, to: target)
  }
}

/// Reads such columns.
struct DenseColumnDecoder {
  /// Distances of values, then which of them each sample has, or the patterns of all samples.
  private let numbers: AlignedBuffer<UInt32>
  private let values: AlignedBuffer<Float>

  init(maximumSamples: Int) {
    numbers = AlignedBuffer(count: maximumSamples)
    values = AlignedBuffer(count: maximumSamples)
  }

  static func bytes(maximumSamples: Int) -> Int { 2 * max(64, 4 * maximumSamples) }

  /// Fills column `column` of a row-major matrix of `columns` columns.
  func read(
    _ cursor: inout ByteCursor, column: Int, columns: Int, samples: Int, _ precision: DensePrecision,
    into target: UnsafeMutablePointer<Float>
  ) throws {
    let distinct = Int(try cursor.integer(UInt32.self))
    let numbers = numbers.base
    let values = values.base
    let out = target + column
    if distinct == 0 {
      let source = try cursor.take(precision.bytes * samples)
      _ = BytePlanes.read(source, planes: precision.bytes, count: samples, plus: 0, into: numbers)
      for sample in 0..<samples { out[sample &* columns] = Self.value(numbers[sample], precision) }
      return
    }
    guard distinct <= samples else { throw cursor.corrupt("dense column \(column + 1) has too many values") }
    let largest = try PackedNumbers.readAscending(&cursor, count: distinct, into: numbers)
    guard let largest, precision == .fp32 || largest <= UInt32(UInt16.max) else {
      throw cursor.corrupt("the values of dense column \(column + 1) do not ascend")
    }
    for place in 0..<distinct { values[place] = Self.value(numbers[place], precision) }
    try PackedNumbers.read(&cursor, count: samples, into: numbers)
    guard PackedNumbers.largest(numbers, samples) < distinct else {
      throw cursor.corrupt("dense column \(column + 1) has a value that is not listed")
    }
    for sample in 0..<samples { out[sample &* columns] = values[Int(numbers[sample])] }
  }

  @inline(__always)
  private static func value(_ pattern: UInt32, _ precision: DensePrecision) -> Float {
    precision == .fp32 ? Float(bitPattern: pattern) : widened(pattern)
  }

  /// A half as a float. Without F16C the library's conversion is a call; this is five instructions: exponent and mantissa
  /// in the float's places, and a product that mends the bias, of subnormal halves, too.
  @inline(__always)
  static func widened(_ half: UInt32) -> Float {
    let magnitude = half & 0x7FFF
    let value = Float(bitPattern: magnitude << 13) * 0x1p112
    let special: UInt32 = magnitude >= 0x7C00 ? 0x7F80_0000 : 0
    return Float(bitPattern: value.bitPattern | special | (half & 0x8000) << 16)
  }
}
