import Primitives
import Testing

@testable import BatchStore

/// Packed numbers and columns of floats against plain lists.
@Suite struct PackedNumbersTests {
  /// Packs `values`, checks that what is packed ends where the bytes end, and unpacks it.
  func roundTrip(_ values: [UInt32], base: UInt32 = 0) throws -> (read: [UInt32], bytes: Int) {
    let packed = GrowableBuffer<UInt8>()
    PackedNumbers.append(values.map { $0 &+ base }, count: values.count, minus: base, to: packed)
    // A copy of this size: what reads beyond it is seen by the address sanitizer.
    let exact = Array(packed.bytes)
    var read = [UInt32](repeating: 0, count: values.count)
    try exact.withUnsafeBytes { bytes in
      var cursor = ByteCursor(bytes, path: "file", origin: 0)
      try PackedNumbers.read(&cursor, count: values.count, plus: base, into: &read)
      #expect(cursor.remaining == 0)
    }
    return (read.map { $0 &- base }, exact.count)
  }

  @Test func numbersOfEveryWidthComeBack() throws {
    let random = CounterRandom(seed: 1, stream: 20)
    for width in 0...32 {
      for count in [0, 1, 7, 8, 9, 63, 64, 65, 200] {
        let own = CounterRandom(random, UInt64(width << 16 | count))
        let values = (0..<count).map { place -> UInt32 in
          // All full width; few of it and the others narrow; every width.
          let narrow = count % 3 == 0 || own.below(9, UInt64(2 * place)) == 0 ? 0 : own.below(33, 0)
          return UInt32(own.bits(UInt64(2 * place + 1)) & (1 << UInt64(width) - 1) >> narrow)
        }
        let result = try roundTrip(values, base: UInt32(width) * 1000)
        #expect(result.read == values)
        let largest = values.max() ?? 0
        let bits = 32 - largest.leadingZeroBitCount
        // Never more than plain numbers of 1, 2 or 4 bytes.
        #expect(result.bytes <= 1 + count * (bits <= 8 ? 1 : bits <= 16 ? 2 : 4))
      }
    }
  }

  @Test func fewLargeNumbersCostLittle() throws {
    var values = (0..<1000).map { UInt32($0 % 16) }
    for place in stride(from: 3, to: 1000, by: 100) { values[place] = 70_000 }
    let result = try roundTrip(values)
    // Four bits each, a bit each, and 13 of ten numbers.
    #expect(result.read == values && result.bytes == 1 + 500 + 125 + 17)
  }

  /// Every head, over every length of noise: an error, or numbers, never a read beyond the end.
  @Test func noiseIsRefusedOrRead() throws {
    let random = CounterRandom(seed: 3, stream: 20)
    var refused = 0
    for head in 0..<256 {
      for length in 0..<40 {
        let noise = [UInt8(head)] + (0..<length).map { UInt8(truncatingIfNeeded: random.bits(UInt64($0))) }
        var numbers = [UInt32](repeating: 0, count: 13)
        do {
          try noise.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes, path: "file", origin: 0)
            try PackedNumbers.read(&cursor, count: 13, into: &numbers)
          }
          #expect(head & 7 != 7)
        } catch is ChanterError {
          refused += 1
        }
      }
    }
    #expect(refused > 256)
  }

  static let columns: [[UInt32]] = [
    [
      Float.nan.bitPattern | 5, Float.infinity.bitPattern, (-Float.infinity).bitPattern,
      (-0.0 as Float).bitPattern, 0,
    ],
    [Float](repeating: 1.5, count: 100).map(\.bitPattern),
    (0..<300).map { Float($0 % 7).bitPattern },
    (0..<300).map { UInt32($0) &* 2_654_435_761 },
    [UInt32.max], [],
  ]

  @Test(arguments: columns, [DensePrecision.fp32, .fp16])
  func columnsComeBackBitForBit(patterns: [UInt32], precision: DensePrecision) throws {
    let values = patterns.map { Float(bitPattern: $0) }
    // The middle one of three columns.
    let matrix = values.flatMap { value -> [Float] in [0, value, 0] }
    let packed = GrowableBuffer<UInt8>()
    DenseColumnEncoder().append(
      matrix, column: 1, columns: 3, samples: values.count, precision, to: packed)
    #expect(packed.count <= 4 + precision.bytes * values.count)
    var read = [Float](repeating: 0, count: matrix.count)
    try Array(packed.bytes).withUnsafeBytes { bytes in
      var cursor = ByteCursor(bytes, path: "file", origin: 0)
      try DenseColumnDecoder(maximumSamples: values.count).read(
        &cursor, column: 1, columns: 3, samples: values.count, precision, into: &read)
      #expect(cursor.remaining == 0)
    }
    for (sample, value) in values.enumerated() {
      let found = read[3 * sample + 1]
      if precision == .fp32 {
        #expect(found.bitPattern == value.bitPattern)
      } else {
        let half = Float(Float16(value))
        #expect(found.bitPattern == half.bitPattern || found.isNaN && half.isNaN)
      }
      #expect(read[3 * sample] == 0 && read[3 * sample + 2] == 0)
    }
  }

  @Test func aColumnThatNamesNoValueOfItsOwnIsRefused() {
    func read(_ bytes: [UInt8], _ precision: DensePrecision) -> ChanterError? {
      var target = [Float](repeating: 0, count: 2)
      return #expect(throws: ChanterError.self) {
        try bytes.withUnsafeBytes { bytes in
          var cursor = ByteCursor(bytes, path: "file", origin: 0)
          try DenseColumnDecoder(maximumSamples: 2).read(
            &cursor, column: 0, columns: 1, samples: 2, precision, into: &target)
        }
      }
    }
    // Two values, 5 and 6; the samples have the first and a third.
    #expect(read([2, 0, 0, 0, 4, 5, 1, 4, 0, 2], .fp32)?.message.contains("not listed") == true)
    #expect(read([3, 0, 0, 0, 4, 5, 1, 1, 4, 0, 2], .fp32)?.message.contains("too many") == true)
    #expect(read([2, 0, 0, 0, 4, 5, 0, 4, 0, 1], .fp32)?.message.contains("ascend") == true)
    // 65,536 is no half.
    #expect(read([1, 0, 0, 0, 6, 0, 0, 1, 0, 0], .fp16)?.message.contains("ascend") == true)
  }
}
