import Foundation
import Training

/// SIGINT and SIGTERM ask the run to commit and stop. A second one ends the process at once: nothing committed is lost.
enum Interrupt {
  static let stop = StopSignal()

  static func install() {
    // Made before a handler may run, since making it allocates.
    _ = stop
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in Interrupt.stop.request() }
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND)) | SA_RESTART
    sigaction(SIGINT, &action, nil)
    sigaction(SIGTERM, &action, nil)
  }
}
