import Primitives

/// Memory of plain values that grows by doubling and is used again after `removeAll`.
final class GrowableBuffer<Element: BitwiseCopyable> {
  private(set) var base: UnsafeMutablePointer<Element>
  private(set) var count = 0
  private var capacity: Int

  init(capacity: Int = 64) {
    self.capacity = max(1, capacity)
    base = .allocate(capacity: self.capacity)
  }

  deinit { base.deallocate() }

  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base, count: count * MemoryLayout<Element>.stride)
  }

  func removeAll() { count = 0 }

  /// The most bytes that it takes while `extra` more elements are appended one by one: old and new memory when it grows.
  func bytes(adding extra: Int) -> Int {
    let stride = MemoryLayout<Element>.stride
    if count + extra <= capacity { return capacity * stride }
    var larger = 2 * capacity
    while larger < count + extra { larger *= 2 }
    return (larger + larger / 2) * stride
  }

  /// Drops what lies at `length` and beyond.
  func truncate(to length: Int) {
    precondition(length <= count)
    count = length
  }

  @inline(__always)
  func append(_ element: Element) {
    if count == capacity { grow(to: count + 1) }
    base[count] = element
    count += 1
  }

  /// Makes room for `extra` more elements and counts them in; returns where they start, uninitialised.
  func extend(by extra: Int) -> UnsafeMutablePointer<Element> {
    if count + extra > capacity { grow(to: count + extra) }
    defer { count += extra }
    return base + count
  }

  private func grow(to needed: Int) {
    let larger = max(needed, 2 * capacity)
    let fresh = UnsafeMutablePointer<Element>.allocate(capacity: larger)
    fresh.update(from: base, count: count)
    base.deallocate()
    base = fresh
    capacity = larger
  }
}

extension GrowableBuffer<UInt8> {
  /// The integer in little-endian order.
  func append<Value: FixedWidthInteger>(integer value: Value) {
    var value = value.littleEndian
    withUnsafeBytes(of: &value) { append(bytes: $0) }
  }

  func append(bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress else { return }
    UnsafeMutableRawPointer(extend(by: bytes.count)).copyMemory(from: source, byteCount: bytes.count)
  }
}

/// Reads a piece of a file front to back; running past its end is an error, never a read.
struct ByteCursor {
  let bytes: UnsafeRawBufferPointer
  let path: String
  /// Offset in the file that errors name: where the piece starts.
  let origin: Int
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer, path: String, origin: Int) {
    self.bytes = bytes
    self.path = path
    self.origin = origin
  }

  var remaining: Int { bytes.count - position }

  mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
    let start = try take(MemoryLayout<Value>.size)
    return Value(littleEndian: start.loadUnaligned(as: type))
  }

  /// The next `count` bytes.
  mutating func take(_ count: Int) throws -> UnsafeRawPointer {
    guard count >= 0, count <= remaining, let base = bytes.baseAddress else {
      throw corrupt("the record ends too early")
    }
    defer { position += count }
    return base + position
  }

  func corrupt(_ message: String) -> ChanterError {
    ChanterError(.corrupt, "\(message); restore the file or run preprocess again", path: path, offset: origin)
  }
}
