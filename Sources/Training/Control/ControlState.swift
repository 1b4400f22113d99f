import Primitives

/// Where schedule, early stopping and metrics stand: part of every commit, so that a run that was killed goes on to the same
/// decisions.
///
/// 64 bytes behind the dense parameters in the dense record, little-endian: cursor of the last validation (8), cursor of
/// the best one (8; 0 is none), its value (8, fp64), validations since then (4), validations since then or since the last
/// plateau (4), plateau factor (8, fp64), 1 if training has stopped early (8), loss summed since the last validation (8,
/// fp64), samples since then (8).
struct ControlState: Equatable, Sendable {
  /// Cursor of the last validation; 0 before the first.
  var validatedAt = 0
  var bestAt = 0
  var bestValue = 0.0
  var sinceBest = 0
  var sincePlateau = 0
  var plateauFactor = 1.0
  var isStopped = false
  /// Over the batches since the last validation, in their order.
  var lossSum = 0.0
  var samples = 0

  static let byteCount = 64

  init() {}

  mutating func count(loss: Double, samples: Int) {
    lossSum += loss
    self.samples += samples
  }

  /// Takes in what a validation found and decides what follows from it.
  /// - Returns: whether the value is the best so far.
  mutating func note(_ value: Double, cursor: Int, control: TrainingControl) -> Bool {
    validatedAt = cursor
    lossSum = 0
    samples = 0
    let isBest = bestAt == 0 || control.metric.isBetter(value, than: bestValue)
    if isBest {
      bestAt = cursor
      bestValue = value
      sinceBest = 0
      sincePlateau = 0
      return true
    }
    sinceBest += 1
    sincePlateau += 1
    let schedule = control.schedule
    if schedule.kind == .plateau, sincePlateau >= schedule.patience {
      plateauFactor = max(schedule.leastFactor, plateauFactor * schedule.factor)
      sincePlateau = 0
    }
    isStopped = control.patience > 0 && sinceBest >= control.patience
    return false
  }
}

// The bytes.
extension ControlState {
  func write(to target: UnsafeMutableRawPointer) {
    var words: [UInt64] = [
      UInt64(validatedAt), UInt64(bestAt), bestValue.bitPattern, 0, plateauFactor.bitPattern,
      isStopped ? 1 : 0,
      lossSum.bitPattern, UInt64(samples),
    ]
    words[3] = UInt64(UInt32(clamping: sinceBest)) | UInt64(UInt32(clamping: sincePlateau)) << 32
    for (index, word) in words.enumerated() {
      target.storeBytes(of: word.littleEndian, toByteOffset: 8 * index, as: UInt64.self)
    }
  }

  /// - Throws: `.corrupt` for what no run has written.
  init(_ source: UnsafeRawPointer, cursor: Int, path: String) throws {
    let words = (0..<8).map { index in
      UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
    }
    plateauFactor = Double(bitPattern: words[4])
    bestValue = Double(bitPattern: words[2])
    lossSum = Double(bitPattern: words[6])
    guard words[0] <= UInt64(cursor), words[1] <= words[0], words[5] <= 1, words[7] <= 1 << 62,
      bestValue.isFinite, lossSum.isFinite, plateauFactor >= 0, plateauFactor <= 1
    else {
      throw ChanterError(
        .corrupt,
        "the state of training control in the dense record is damaged; restore the model from a copy",
        path: path)
    }
    validatedAt = Int(words[0])
    bestAt = Int(words[1])
    sinceBest = Int(words[3] & 0xFFFF_FFFF)
    sincePlateau = Int(words[3] >> 32)
    isStopped = words[5] == 1
    samples = Int(words[7])
  }
}

/// The dense record of a commit: the network's parameters, then the state of training control.
enum DenseRecord {
  static func byteCount(parameterBytes: Int) -> Int { parameterBytes + ControlState.byteCount }

  static func write(
    _ parameters: UnsafeRawBufferPointer, _ state: ControlState, into target: UnsafeMutableRawBufferPointer
  ) {
    precondition(target.count == byteCount(parameterBytes: parameters.count))
    target.copyMemory(from: parameters)
    if let base = target.baseAddress { state.write(to: base + parameters.count) }
  }

  /// Calls `body` with a record, which is gone afterwards.
  static func with<Result>(
    _ parameters: UnsafeRawBufferPointer, _ state: ControlState,
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    let record = AlignedBuffer<UInt8>(count: byteCount(parameterBytes: parameters.count))
    write(parameters, state, into: UnsafeMutableRawBufferPointer(record.prefix()))
    return try withExtendedLifetime(record) { try body(record.rawBytes) }
  }

  static func parameters(_ record: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: record[..<max(0, record.count - ControlState.byteCount)])
  }

  static func state(_ record: UnsafeRawBufferPointer, cursor: Int, path: String) throws -> ControlState {
    guard let base = record.baseAddress, record.count >= ControlState.byteCount else {
      throw ChanterError(.corrupt, "the dense record is too short; restore the model from a copy", path: path)
    }
    return try ControlState(base + record.count - ControlState.byteCount, cursor: cursor, path: path)
  }
}
