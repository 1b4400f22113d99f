public import CSupport

/// What the program needs of the machine it runs on.
public enum CPU {
  /// Throws unless this CPU has the instructions that the kernels are compiled for.
  public static func requireSupported() throws {
    guard chanter_cpu_is_supported() == 1 else {
      throw ChanterError(
        .unsupported, "this CPU lacks AVX2, FMA or SSE4.2; Chanter needs x86-64 with these, or aarch64")
    }
  }

  /// Asks for the cache line at `address` ahead of its use; never faults.
  @inlinable @inline(__always)
  public static func prefetch(_ address: UnsafeRawPointer) { chanter_prefetch(address) }

  /// Tells the CPU that this thread waits in a loop.
  @inline(__always)
  static func pause() { chanter_pause() }

  /// What the kernels of this program are compiled for: results repeat bit for bit only where this is equal.
  public static var instructions: String {
    #if arch(x86_64)
      "x86-64 AVX2 FMA"
    #else
      "aarch64"
    #endif
  }
}
