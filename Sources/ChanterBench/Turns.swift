import Foundation
import Primitives

/// One window of a workload, as JSON on standard output.
private struct Window: Encodable {
  let samples: Int
  let seconds: Double
  /// Of all threads of this process.
  let cpuSeconds: Double
}

/// The side of tools/bench that takes turns with other programs: says that it is ready, then answers each line
/// `run SECONDS` with what it did in that time. Ends with its input.
///
/// - Parameter work: runs until the given instant is over and returns how many samples it did.
func takeTurns(_ facts: [String: Double], _ work: (ContinuousClock.Instant) throws -> Int) throws {
  func answer(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    FileHandle.standardOutput.write(try encoder.encode(value) + Data("\n".utf8))
  }
  try answer(facts)
  while let line = readLine() {
    let words = line.split(separator: " ")
    guard words.count == 2, words[0] == "run", let seconds = Double(words[1]), seconds > 0, seconds < 3_600
    else {
      throw ChanterError(.badInput, "`\(line)` is not `run SECONDS`")
    }
    let cpu = processSeconds()
    let start = ContinuousClock.now
    let samples = try work(start + .seconds(seconds))
    try answer(
      Window(
        samples: samples, seconds: (ContinuousClock.now - start) / .seconds(1),
        cpuSeconds: processSeconds() - cpu))
  }
}

/// Seconds that all threads of this process have used.
private func processSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
