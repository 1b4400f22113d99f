import Foundation

/// Progress on standard error: one line that is drawn again on a terminal, and a line every few seconds elsewhere.
final class ProgressLine {
  private let isTerminal = isatty(STDERR_FILENO) != 0
  private let clock = ContinuousClock()
  private var last: ContinuousClock.Instant?
  private var isDrawn = false
  private let start = ContinuousClock.now
  /// What takes less says nothing.
  private static let silence = Duration.seconds(1)
  private static let redrawInterval = Duration.milliseconds(100)
  private static let interval = Duration.seconds(5)

  func show(_ text: String) {
    let now = clock.now
    guard now - start >= Self.silence else { return }
    if isTerminal {
      if let last, now - last < Self.redrawInterval { return }
      last = now
      draw(text)
      isDrawn = true
    } else if last.map({ now - $0 >= Self.interval }) ?? true {
      printError(text)
      last = now
    }
  }

  private func draw(_ text: String) {
    try? Array("\r\u{1B}[K\(text)".utf8).withUnsafeBytes { try writeFully($0, to: STDERR_FILENO) }
  }

  /// Leaves the terminal on an empty line.
  func clear() {
    guard isDrawn else { return }
    draw("")
    isDrawn = false
  }

  /// Prints a line of its own.
  func interrupt(with text: String) {
    clear()
    printError(text)
  }

  deinit { clear() }
}
