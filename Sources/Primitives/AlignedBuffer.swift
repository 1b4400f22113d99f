import CSupport

/// A fixed-size, zeroed block of memory for plain values, aligned to 64 bytes (a cache line, and any SIMD width). Blocks of 4
/// MiB and more lie in huge pages where the system has them.
///
/// The buffer owns its memory and frees it with the last reference. Its size never changes: a budget is spent
/// once, when the buffer is made. Hot loops take `base` into a local constant first; a class field read in a
/// loop body costs several times the loop.
///
/// Unchecked `Sendable`: the buffer itself has no guard. Each use names the stage that owns the contents at any
/// moment; ownership moves with a `BoundedChannel`, a `Monitor` or the end of a `WorkerPool.run`.
public final class AlignedBuffer<Element: BitwiseCopyable>: @unchecked Sendable {
  private static var hugePage: Int { 2 << 20 }
  private static var largeBytes: Int { 2 * hugePage }

  public let base: UnsafeMutablePointer<Element>
  public let count: Int

  /// - Parameter count: number of elements, at least 0. All bytes start as zero.
  public init(count: Int) {
    precondition(count >= 0)
    let bytes = max(64, count * MemoryLayout<Element>.stride)
    let isLarge = bytes >= Self.largeBytes
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: isLarge ? Self.hugePage : 64)
    // Rows are read here and there in gigabytes, where small pages cost a walk through page tables each. All of it is written
    // at once, so large pages take no more memory.
    if isLarge { chanter_prefer_huge_pages(raw, bytes) }
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    base = raw.assumingMemoryBound(to: Element.self)
    self.count = count
  }

  deinit { UnsafeMutableRawPointer(base).deallocate() }

  public var byteCount: Int { count * MemoryLayout<Element>.stride }

  /// Bounds-checked access for code that is not hot.
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count)
      return base[index]
    }
    set {
      precondition(index >= 0 && index < count)
      base[index] = newValue
    }
  }

  /// The first `count` elements (all by default).
  public func prefix(_ count: Int? = nil) -> UnsafeMutableBufferPointer<Element> {
    let length = count ?? self.count
    precondition(length >= 0 && length <= self.count)
    return UnsafeMutableBufferPointer(start: base, count: length)
  }

  public var rawBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }
}
