import BatchStore
import CZlib
import CZstd
import Foundation
import Ingest
import Primitives
import TestSupport
import Testing

/// Packed inputs, threads and bad lines: the dataset depends on the good lines and on nothing else.
@Suite struct InputTests {
  /// Enough text for several blocks.
  static let lines = randomLog(lines: 4000, seed: 21, values: 3000)

  static func text(_ range: Range<Int>) -> Data {
    Data((lines[range].joined(separator: "\n") + "\n").utf8)
  }

  /// Every file of a dataset by name.
  static func files(_ path: String) throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: path)
    return try Dictionary(
      uniqueKeysWithValues: names.map { ($0, try Data(contentsOf: URL(fileURLWithPath: "\(path)/\($0)"))) })
  }

  static func gzip(_ data: Data) throws -> Data {
    var stream = z_stream()
    try #require(
      deflateInit2_(
        &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size)) == Z_OK)
    defer { deflateEnd(&stream) }
    var input = [UInt8](data)
    var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(input.count))))
    let code = input.withUnsafeMutableBufferPointer { source in
      output.withUnsafeMutableBufferPointer { target in
        stream.next_in = source.baseAddress
        stream.avail_in = UInt32(source.count)
        stream.next_out = target.baseAddress
        stream.avail_out = UInt32(target.count)
        return deflate(&stream, Z_FINISH)
      }
    }
    try #require(code == Z_STREAM_END)
    return Data(output.prefix(Int(stream.total_out)))
  }

  static func zstd(_ data: Data) throws -> Data {
    var output = [UInt8](repeating: 0, count: ZSTD_compressBound(data.count))
    let length = data.withUnsafeBytes { ZSTD_compress(&output, output.count, $0.baseAddress, $0.count, 3) }
    try #require(ZSTD_isError(length) == 0)
    return Data(output.prefix(length))
  }

  /// Plain, packed in one piece or several, cut into files anywhere, with any number of threads: the same bytes.
  @Test func packingFilesAndThreadsDoNotShow() throws {
    try withTemporaryDirectory { directory in
      let plain = try directory.file("log", Self.text(0..<4000))
      func make(_ name: String, _ inputs: [String], threads: Int) throws -> [String: Data] {
        var options = PreprocessOptions(inputs: inputs, output: "\(directory.path)/\(name)")
        options.batchSize = 300
        options.segmentBytes = 40_000
        options.threads = threads
        _ = try preprocess(options)
        return try Self.files(options.output)
      }
      let expected = try make("one", [plain], threads: 1)
      #expect(try make("three", [plain], threads: 3) == expected)
      let first = Self.text(0..<1700)
      let second = Self.text(1700..<4000)
      let packed = try directory.file("a", try Self.gzip(first))
      let zstandard = try directory.file("b", try Self.zstd(second))
      #expect(try make("mixed", [packed, zstandard], threads: 2) == expected)
      let members = try directory.file("c", try Self.gzip(first) + Self.gzip(second))
      #expect(try make("members", [members], threads: 2) == expected)
      // What pzstd begins a file with: a frame that holds no text.
      let skippable = Data([0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4])
      let parallel = try directory.file("e", skippable + Self.zstd(first) + skippable + Self.zstd(second))
      #expect(try make("parallel", [parallel], threads: 2) == expected)
      let frames = try directory.file("d", try Self.zstd(first) + Self.zstd(second))
      #expect(try make("frames", [frames], threads: 2) == expected)
    }
  }

  @Test func damagedPackedInputsAreExplained() throws {
    try withTemporaryDirectory { directory in
      func failure(_ bytes: Data) throws -> ChanterError? {
        let input = try directory.file("log", bytes)
        return #expect(throws: ChanterError.self) {
          try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
        }
      }
      for (name, whole) in [
        ("gzip", try Self.gzip(Self.text(0..<2000))), ("zstd", try Self.zstd(Self.text(0..<2000))),
      ] {
        for kept in [4, 20, whole.count / 2, whole.count - 1] {
          let error = try failure(whole.prefix(kept))
          #expect(error?.kind == .badInput && error?.offset != nil)
          #expect(
            error?.message.contains("the \(name) stream is") == true, "\(kept): \(error?.message ?? "")")
        }
        #expect(try failure(whole + Data("garbage".utf8))?.message.contains("damaged") == true)
        let random = CounterRandom(seed: 8, stream: 8)
        for round in 0..<20 {
          var damaged = whole
          let position = 10 + Int(random.below(UInt64(whole.count - 20), UInt64(2 * round)))
          damaged[position] ^= UInt8(1 + random.below(255, UInt64(2 * round + 1)))
          // Whatever the damage decodes to, it ends in an error or in a dataset, never in a crash.
          let input = try directory.file("log", damaged)
          _ = try? preprocess(
            PreprocessOptions(inputs: [input], output: "\(directory.path)/\(name)-\(round)"))
        }
      }
      #expect(try failure(try Self.gzip(Data()))?.message.contains("empty") == true)
    }
  }

  /// Bad lines are left out and told, wherever they lie; the rest gives what it gives alone.
  @Test(arguments: [1, 3])
  func skippedLinesLeaveNoTrace(threads: Int) throws {
    let bad = [
      0: "", 5: "x" + Self.lines[5].dropFirst(), 6: "a\tb", 1400: String(repeating: "z", count: 70_000),
      2000: String(repeating: "y", count: 2_000_000), 2001: Self.lines[1] + "g", 3999: "1\t",
    ]
    let mixed = Self.lines.enumerated().map { bad[$0] ?? $1 }
    let good = Self.lines.enumerated().filter { bad[$0.offset] == nil }.map(\.element)
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", mixed.joined(separator: "\n"))
      let clean = try directory.file("clean", good.joined(separator: "\n"))
      func make(_ name: String, _ input: String, _ badLines: BadLines) throws -> PreprocessReport {
        var options = PreprocessOptions(inputs: [input], output: "\(directory.path)/\(name)")
        options.badLines = badLines
        options.threads = threads
        return try preprocess(options)
      }
      let report = try make("mixed", input, .skip(atMost: 7))
      #expect(try make("clean.data", clean, .stop).skipped.count == 0)
      #expect(try Self.files(directory.path + "/mixed") == Self.files(directory.path + "/clean.data"))
      #expect(
        report.skipped.count == 7 && report.skipped.first.map(\.line) == bad.keys.sorted().map { $0 + 1 })
      #expect(LineReason.allCases.map(report.skipped.count) == [2, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0])
      #expect(report.skipped.first.allSatisfy { $0.path == input })
      let error = #expect(throws: ChanterError.self) { try make("few", input, .skip(atMost: 6)) }
      #expect(error?.message.contains("more than 6 lines are bad") == true && error?.line == 1)
      let stopped = #expect(throws: ChanterError.self) { try make("stop", input, .stop) }
      #expect(stopped?.line == 1)
    }
  }

  /// A log that is far larger than the disk is refused before it is read.
  @Test func aFullDiskIsForeseen() throws {
    try withTemporaryDirectory { directory in
      let input = try directory.file("log", Self.text(0..<1))
      let size = min(try File.freeBytes(in: directory.path), 8 << 40)
      guard truncate(input, size) == 0 else { return }  // a file system without files as large as that
      let error = #expect(throws: ChanterError.self) {
        try preprocess(PreprocessOptions(inputs: [input], output: directory.path + "/out"))
      }
      #expect(error?.kind == .io && error?.message.contains("are free") == true)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["log"])
    }
  }

  @Test func aLogOfBadLinesIsNoDataset() throws {
    try withTemporaryDirectory { directory in
      let text = String(repeating: "nonsense\n", count: 40_000)
      var options = PreprocessOptions(
        inputs: [try directory.file("log", text)], output: directory.path + "/out")
      options.badLines = .skip(atMost: 1_000_000)
      let error = #expect(throws: ChanterError.self) { try preprocess(options) }
      #expect(error?.message.contains("every line is bad") == true && error?.line == 1)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["log"])
    }
  }
}
