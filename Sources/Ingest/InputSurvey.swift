import BatchStore
import Primitives

/// The inputs of `preprocess` as they lie on the disk.
struct InputSurvey {
  let inputs: [RunWork.Stamp.Input]
  /// Bytes of all; nil if one has no size.
  let bytes: Int?
  /// Disk that temporary files and the result will take, about; inputs without a size are not in it.
  let neededBytes: Int

  /// Temporary files and the result at their largest, of the text; measured on generated logs.
  private static let diskPercent = 160
  /// Text of a packed log by its size on the disk: generated and real logs have 2 to 3.
  private static let packedRatio = 3

  init(_ paths: [String]) throws {
    var inputs: [RunWork.Stamp.Input] = []
    var bytes: Int? = 0
    var needed = 0
    for path in paths {
      guard path != "-", let status = File.regularStatus(path) else {
        // A missing file is told now, not after the first has been read.
        if path != "-", !File.exists(path) { _ = try File(reading: path) }
        bytes = nil
        inputs.append(RunWork.Stamp.Input(path: path))
        continue
      }
      bytes = bytes.map { $0 + status.size }
      needed += status.size * Self.diskPercent / 100 * (try TextInput(path).isPacked ? Self.packedRatio : 1)
      inputs.append(RunWork.Stamp.Input(path: path, size: status.size, modified: status.modified))
    }
    self.inputs = inputs
    self.bytes = bytes
    neededBytes = needed
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
