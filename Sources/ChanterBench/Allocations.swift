import Foundation
import Primitives

// Of glibc; Swift's module of it leaves them out.
@_silgen_name("mtrace") private func mtrace()
@_silgen_name("muntrace") private func muntrace()

/// Counts what the C library's allocation trace lists while `body` runs: every malloc, calloc, realloc and aligned allocation
/// of any thread. Needs glibc's `libc_malloc_debug.so.0` preloaded and MALLOC_TRACE set.
func countingAllocations(_ body: () throws -> Void) throws -> Int {
  guard let path = ProcessInfo.processInfo.environment["MALLOC_TRACE"] else {
    throw ChanterError(.badInput, "MALLOC_TRACE names no file")
  }
  mtrace()
  try body()
  muntrace()
  let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
  // A line for each: `@ PROGRAM:[PLACE] + ADDRESS SIZE`, with `>` where realloc moved something.
  let allocations = lines.count { $0.contains(" + 0x") || $0.contains(" > 0x") }
  guard lines.contains("= Start") else {
    throw ChanterError(.unsupported, "the C library traces no allocations; preload libc_malloc_debug.so.0")
  }
  return allocations
}
