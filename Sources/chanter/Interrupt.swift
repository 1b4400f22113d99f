import ArgumentParser
import Foundation
import Synchronization
import Training

/// SIGINT and SIGTERM ask the run to commit and stop. A second one ends the process at once: nothing committed is lost.
enum Interrupt {
  static let stop = StopSignal()
  private static let received = Atomic<Int32>(0)

  /// 128 and the number of the signal that stopped the run, as shells report it: a chain of commands does not go on with
  /// a model that is half trained.
  static var exitCode: ExitCode { ExitCode(128 + received.load(ordering: .relaxed)) }

  static func install() {
    // Made before a handler may run, since making it allocates.
    _ = stop
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      Interrupt.received.store(signal, ordering: .relaxed)
      Interrupt.stop.request()
    }
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND)) | SA_RESTART
    sigaction(SIGINT, &action, nil)
    sigaction(SIGTERM, &action, nil)
    // A parent may have started this process with both held back.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGTERM)
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }
}
