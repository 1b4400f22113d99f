import Primitives
import Testing

@Suite struct ValueTests {
  @Test(arguments: [
    ("4GiB", 4 << 30), ("64MiB", 64 << 20), ("512k", 512 << 10), ("1.5g", 3 << 29), ("1000", 1000),
    ("2GB", 2_000_000_000), ("0", 0),
  ])
  func sizesParse(text: String, bytes: Int) {
    #expect(ByteSize.parse(text) == bytes)
  }

  @Test(arguments: ["", "GiB", "-1", "4XB", "1e9", "1..5", "99999999999T"])
  func wrongSizesAreRefused(text: String) {
    #expect(ByteSize.parse(text) == nil)
  }

  @Test func sizesPrintWithTheirUnit() {
    #expect(ByteSize.format(900) == "900 B")
    #expect(ByteSize.format(1536 << 20) == "1.5 GiB")
    let random = CounterRandom(seed: 3, stream: 1)
    for index in 0..<2000 as Range<UInt64> {
      let bytes = Int(random.bits(index) >> (20 + index % 44))
      let printable = ByteSize.printable(bytes)
      #expect(ByteSize.parse(ByteSize.format(printable)) == printable)
      #expect(printable >= bytes && printable - bytes <= max(0, bytes / 10))
    }
  }

  /// Check value of CRC-32C from RFC 3720, appendix B.4: 32 bytes of zeros.
  @Test func crc32cMatchesItsCheckValue() {
    let zeros = [UInt8](repeating: 0, count: 32)
    #expect(zeros.withUnsafeBytes { CRC32C.checksum($0) } == 0x8A91_36AA)
    let digits = Array("123456789".utf8)
    #expect(digits.withUnsafeBytes { CRC32C.checksum($0) } == 0xE306_9283)
  }

  /// Bit by bit, as the polynomial says; lengths around those at which long inputs are summed in parts.
  @Test func crc32cMatchesItsDefinition() {
    func plain(_ bytes: ArraySlice<UInt8>, seed: UInt32) -> UInt32 {
      var sum = ~seed
      for byte in bytes {
        sum ^= UInt32(byte)
        for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 1 ? 0x82F6_3B78 : 0) }
      }
      return ~sum
    }
    let random = CounterRandom(seed: 4, stream: 2)
    let bytes = (0..<9000).map { UInt8(truncatingIfNeeded: random.bits(UInt64($0))) }
    for (index, length) in [0, 1, 7, 8, 100, 4055, 4056, 4057, 4076, 8111, 8112, 8120].enumerated() {
      let seed = UInt32(truncatingIfNeeded: random.bits(UInt64(10_000 + index)))
      let slice = bytes[index..<index + length]
      let sum = slice.withUnsafeBytes { CRC32C.checksum($0, seed: seed) }
      #expect(sum == plain(slice, seed: seed), "\(length) bytes")
    }
  }

  @Test func fingerprintDoesNotDependOnHowTheBytesArrive() {
    var whole = Fingerprint()
    whole.update("chanter")
    var parts = Fingerprint()
    parts.update("chan")
    parts.update("ter")
    #expect(whole.hex == parts.hex)
    #expect(whole.hex.count == 32)
  }

  /// Golden values: a change here changes the initial weights of every model.
  @Test func initialRowsNeverChange() {
    let layout = RowLayout(
      tables: [TableLayout(name: "a", rows: 100)], dimension: 2, stateFloats: 1, seed: 7)
    let row = AlignedBuffer<Float>(count: 3)
    layout.fillInitial(table: 0, row: 0, into: row.base)
    #expect(Array(row.prefix()) == [0, 0, 0])
    layout.fillInitial(table: 0, row: 5, into: row.base)
    #expect(row[2] == 0)
    #expect(abs(row[0]) <= 0.1 && abs(row[1]) <= 0.1 && row[0] != row[1])
  }

  @Test func firstOrderWeightsStartAtZeroAndAScaleBoundsTheOthers() {
    let layout = RowLayout(
      tables: [TableLayout(name: "a", rows: 100), TableLayout(name: "b", rows: 100)], dimension: 5,
      stateFloats: 1, seed: 7, randomWeights: [4, 2], initialScales: [0.001, 0.001])
    let row = AlignedBuffer<Float>(count: 6)
    for (table, count) in [4, 2].enumerated() {
      layout.fillInitial(table: table, row: 5, into: row.base)
      #expect(row.prefix().map { $0 != 0 } == (0..<6).map { $0 < count })
      #expect(row.prefix().allSatisfy { abs($0) <= 0.001 })
    }
  }

  @Test func initialRowsAreUniform() {
    let layout = RowLayout(
      tables: [TableLayout(name: "a", rows: 4)], dimension: 16, stateFloats: 0, seed: 1)
    let row = AlignedBuffer<Float>(count: 16)
    var sum = 0.0
    var squares = 0.0
    for index in 1...10_000 {
      layout.fillInitial(table: 0, row: UInt32(index), into: row.base)
      for value in row.prefix() {
        sum += Double(value)
        squares += Double(value * value)
      }
    }
    #expect(abs(sum / 160_000) < 0.005)
    #expect(abs(squares / 160_000 - 0.25 / 3) < 0.002)
  }

  @Test(arguments: [0, 1, 2, 1000])
  func radixSortMatchesSort(count: Int) {
    let random = CounterRandom(seed: 3, stream: 9)
    let keys = (0..<count).map {
      RowKey(table: Int(random.below(5, UInt64($0))), row: UInt32(random.below(300, UInt64($0 + 5000))))
    }
    var order = [UInt32](repeating: 0, count: count)
    var scratch = order
    RadixSort.sort(keys: keys, count: count, order: &order, scratch: &scratch)
    let expected = keys.indices.sorted { keys[$0] != keys[$1] ? keys[$0] < keys[$1] : $0 < $1 }
    #expect(order.map(Int.init) == expected)
  }
}
