import CSupport

/// How the C library's allocator behaves in this process.
public enum Heap {
  /// Keeps freed memory in the process, in one arena. Call it before there are threads.
  ///
  /// A commit takes tens of megabytes in pieces of 64 KiB and gives them back at its end. By default the allocator would return
  /// them to the system each time, and the next commit would spend longer on having pages cleared than on its own work. What
  /// is kept is counted by the budget already. Does nothing where the C library is not glibc.
  public static func keepFreedMemory() { chanter_keep_freed_memory() }
}
