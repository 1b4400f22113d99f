/// Sorting of row keys by counting, in linear time and with no comparison.
public enum RadixSort {
  /// Writes to `order` the permutation that sorts `keys[0 ..< count]` ascending; equal keys keep their order.
  ///
  /// Least significant byte first; a byte that all keys share costs one counting pass only. `keys` stays as it is.
  /// Complexity: O(count) for each byte in which the keys differ.
  /// - Parameters:
  ///   - order: room for `count` indices, the result.
  ///   - scratch: room for `count` indices.
  public static func sort(
    keys: UnsafePointer<RowKey>, count: Int, order: UnsafeMutablePointer<UInt32>,
    scratch: UnsafeMutablePointer<UInt32>
  ) {
    var source = order
    var target = scratch
    for index in 0..<count { source[index] = UInt32(truncatingIfNeeded: index) }
    var differing: RowKey = 0
    for index in 0..<count { differing |= keys[index] ^ keys[0] }
    withUnsafeTemporaryAllocation(of: Int.self, capacity: 256) { starts in
      for byte in 0..<8 {
        let shift = RowKey(8 * byte)
        if (differing >> shift) & 0xFF == 0 { continue }
        starts.initialize(repeating: 0)
        for index in 0..<count { starts[Int((keys[index] >> shift) & 0xFF)] += 1 }
        var total = 0
        for digit in 0..<256 {
          let size = starts[digit]
          starts[digit] = total
          total += size
        }
        for index in 0..<count {
          let item = source[index]
          let digit = Int((keys[Int(item)] >> shift) & 0xFF)
          target[starts[digit]] = item
          starts[digit] += 1
        }
        swap(&source, &target)
      }
    }
    if source != order { order.update(from: source, count: count) }
  }
}
