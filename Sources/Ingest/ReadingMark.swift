import BatchStore
import Foundation

/// Where reading stood between two rounds, noted in the spool so that a run that was killed goes on from there.
struct ReadingMark: Codable {
  var isComplete = false
  /// The input that was read, and how far into its text.
  var input = 0
  var offset = 0
  /// Lines of that input so far.
  var lines = 0
  var skipped = SkippedLines()
  var samplesByPart = [0, 0, 0]
  /// By table, once values were spilled.
  var spilled: [SpilledTable.State]?
  /// Size of the file of spilled uses.
  var spilledBytes = 0

  func encoded() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }

  init() {}

  init(_ text: [UInt8]) throws { self = try JSONDecoder().decode(Self.self, from: Data(text)) }
}
