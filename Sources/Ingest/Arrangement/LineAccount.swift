import Primitives

/// Counts the lines of inputs that come block by block, and sees to the bad ones.
struct LineAccount {
  private(set) var skipped: SkippedLines
  /// Lines so far of the input that is read.
  private(set) var lines: Int
  private let badLines: BadLines

  static let emptyMessage = "the file is empty; give a log with at least one line"

  /// - Parameters:
  ///   - skipped: what an interrupted run had left out.
  ///   - lines: how many of the input it had read.
  init(_ badLines: BadLines, skipped: SkippedLines = SkippedLines(), lines: Int = 0) {
    self.badLines = badLines
    self.skipped = skipped
    self.lines = lines
  }

  /// - Parameter path: what errors call the input of the block.
  mutating func check(_ block: TextBlock, path: String) throws {
    if !block.problems.isEmpty {
      if case .skip(let limit) = badLines {
        skipped.add(block.problems, path: path, after: lines)
        if skipped.count > limit, let first = skipped.first.first {
          throw ChanterError(
            .badInput, "more than \(limit) lines are bad; the first: \(first.message)", path: first.path,
            line: first.line)
        }
      } else if let first = block.problems.errors(path: path, after: lines).first {
        throw first
      }
    }
    lines += block.lines
    guard block.isLast else { return }
    if lines == 0 {
      throw ChanterError(.badInput, Self.emptyMessage, path: path)
    }
    lines = 0
  }
}
