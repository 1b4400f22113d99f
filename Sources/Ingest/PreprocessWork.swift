import BatchStore
import Foundation
import Primitives

/// What a run leaves beside its unfinished output so that the same command can go on after it was killed.
final class PreprocessWork {
  /// Files that are removed in the end.
  enum Name: String {
    /// The samples with provisional rows, and marks; `SampleSpool`.
    case samples
    /// Uses of values beyond the memory limit, and their rows.
    case spilled, resolved
    /// The vocabulary, before it gets its name, and the numbering, once values beyond the memory limit have rows.
    case vocabulary, numbering
    /// What the output is made from.
    case run
  }

  let output: PendingOutput
  /// Bytes of all inputs as they lie on the disk, nil if one has no size.
  let inputBytes: Int?
  /// Disk that temporary files and the result will take, about; inputs without a size are not in it.
  let neededBytes: Int
  /// Why an earlier run is not continued, if there was one; in words for the user.
  private(set) var restart: String?
  private(set) var isContinued = false

  /// Inputs and options that decide what the result is.
  struct Stamp: Codable, Equatable {
    struct Input: Codable, Equatable {
      var path: String
      var size: Int?
      var modified: Int?
    }
    /// Raised with every change of a work file's bytes: what another program left is no work to go on from.
    var version = 3
    var inputs: [Input]
    var options: [String: String]
  }

  /// Takes the output's place, with what an earlier run of the same command left there.
  init(_ options: PreprocessOptions) throws {
    output = try PendingOutput(options.output, keepingWork: true)
    var inputs: [Stamp.Input] = []
    var bytes: Int? = 0
    var needed = 0
    for name in options.allInputs {
      guard name != "-", let status = File.regularStatus(name) else {
        // A missing file is told now, not after the first has been read.
        if name != "-", !File.exists(name) { _ = try File(reading: name) }
        bytes = nil
        inputs.append(Stamp.Input(path: name))
        continue
      }
      bytes = bytes.map { $0 + status.size }
      needed += status.size * Self.diskPercent / 100 * (try TextInput(name).isPacked ? Self.packedRatio : 1)
      inputs.append(Stamp.Input(path: name, size: status.size, modified: status.modified))
    }
    inputBytes = bytes
    neededBytes = needed
    let stamp = Stamp(inputs: inputs, options: try options.stamp())
    let path = file(.run)
    if File.exists(path) {
      let old = try? JSONDecoder().decode(Stamp.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
      restart = Self.difference(old, stamp)
      isContinued = restart == nil
    }
    if !isContinued {
      try output.clear()
      try write(stamp, .run)
    }
  }

  /// Temporary files and the result at their largest, of the text; measured on generated logs.
  private static let diskPercent = 160
  /// Text of a packed log by its size on the disk: generated and real logs have 2 to 3.
  private static let packedRatio = 3

  private static func difference(_ old: Stamp?, _ new: Stamp) -> String? {
    guard let old, old.version == new.version else { return "what the earlier run left cannot be read" }
    if new.inputs.contains(where: { $0.size == nil }) {
      return "standard input and pipes cannot be read again from where the earlier run stopped"
    }
    if old.inputs.map(\.path) != new.inputs.map(\.path) { return "the earlier run had other inputs" }
    for (before, now) in zip(old.inputs, new.inputs) where before != now {
      return "\(now.path) has changed since the earlier run"
    }
    let names = Set(old.options.keys).union(new.options.keys).sorted()
    for name in names where old.options[name] != new.options[name] {
      return "the earlier run had another \(name)"
    }
    return nil
  }

  func file(_ name: Name) -> String { output.workFile(name.rawValue) }

  func remove(_ name: Name) { File.remove(file(name)) }

  /// Writes `value` so that it is there whole or not at all.
  func write(_ value: some Encodable, _ name: Name) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let partial = file(name) + ".partial"
    File.remove(partial)
    let bytes = try encoder.encode(value)
    let target = try File(creating: partial)
    try bytes.withUnsafeBytes { try target.write($0) }
    try target.synchronize()
    try File.overwrite(file(name), with: partial)
  }

  /// What `write` wrote, or nil.
  func read<Value: Decodable>(_ type: Value.Type, _ name: Name) throws -> Value? {
    guard File.exists(file(name)) else { return nil }
    return try JSONDecoder().decode(type, from: Data(contentsOf: URL(fileURLWithPath: file(name))))
  }

  /// Throws unless the disk has room for what is still to be written.
  /// - Parameter otherBytes: what is written beside what the inputs make.
  func requireSpace(beside otherBytes: Int) throws {
    let free = try File.freeBytes(in: output.directory)
    let missing = max(0, neededBytes + otherBytes - (try output.workBytes()))
    guard missing <= free else {
      throw ChanterError(
        .io,
        "about \(ByteSize.format(missing)) are needed here for temporary files and the result, \(ByteSize.format(free)) are free; make room, or put the output on a larger disk",
        path: output.path)
    }
  }
}

extension PreprocessOptions {
  /// Everything that decides what the result is or how memory is spent, but the inputs.
  func stamp() throws -> [String: String] {
    var values: [String: String] = [
      "--batch-size": "\(batchSize)", "--holdout": "\(holdout)", "--dense": densePrecision.rawValue,
      "--min-count": "\(minimumCount)", "--on-error": "\(badLines)", "size of segments": "\(segmentBytes)",
    ]
    values["schema"] = try schema.json()
    values["share for validation"] = "\(validShare)"
    values["parts of the inputs"] = "\(inputs.count), \(validInputs.count), \(testInputs.count)"
    values["--append"] = base.map { "\($0.path) \($0.manifest.batchingIdentity)" }
    values["--max-rows"] = maximumRows.map(String.init)
    values["--hash-rows"] = hashRows.map(String.init)
    // How much fits in memory decides what was put on the disk.
    values["--memory"] = memory.map { "\($0) for \(threads) threads" }
    values["memory for values"] = valueBytes.map(String.init)
    return values
  }
}
