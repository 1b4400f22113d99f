import BatchStore
import Primitives

/// Values of a block, as many as there are: where each lies in the text, its length, and its hash.
final class ValueList {
  private(set) var count = 0
  private var capacity = 0
  private(set) var starts = UnsafeMutablePointer<UInt32>.allocate(capacity: 0)
  private(set) var lengths = UnsafeMutablePointer<UInt16>.allocate(capacity: 0)
  private(set) var hashes = UnsafeMutablePointer<UInt64>.allocate(capacity: 0)

  deinit {
    starts.deallocate()
    lengths.deallocate()
    hashes.deallocate()
  }

  func removeAll() { count = 0 }

  /// Forgets all values from number `length` on.
  func truncate(to length: Int) { count = min(count, length) }

  func append(start: Int, length: Int) {
    if count == capacity { grow() }
    starts[count] = UInt32(truncatingIfNeeded: start)
    lengths[count] = UInt16(truncatingIfNeeded: length)
    count += 1
  }

  func append(start: UInt32, length: UInt16, hash: UInt64) {
    if count == capacity { grow() }
    starts[count] = start
    lengths[count] = length
    hashes[count] = hash
    count += 1
  }

  func hash(_ text: UnsafePointer<UInt8>) {
    for position in 0..<count {
      hashes[position] = Fingerprint.short(
        UnsafeRawBufferPointer(start: text + Int(starts[position]), count: Int(lengths[position])))
    }
  }

  func column(in text: UnsafePointer<UInt8>) -> ValueColumn {
    ValueColumn(text: text, starts: starts, lengths: lengths, hashes: hashes, count: count)
  }

  private func grow() {
    let larger = max(256, 2 * capacity)
    starts = Self.moved(starts, count, larger)
    lengths = Self.moved(lengths, count, larger)
    hashes = Self.moved(hashes, count, larger)
    capacity = larger
  }

  private static func moved<Element: BitwiseCopyable>(
    _ old: UnsafeMutablePointer<Element>, _ count: Int, _ capacity: Int
  ) -> UnsafeMutablePointer<Element> {
    let fresh = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
    fresh.update(from: old, count: count)
    old.deallocate()
    return fresh
  }
}

/// The values of a table that several features share, in the order in which they are numbered: sample by sample, and in
/// each feature by feature. So a number does not depend on where a block ends.
final class SharedColumn {
  let values = ValueList()
  private(set) var rows = AlignedBuffer<UInt32>(count: 0)

  func gather(_ features: [Int], of block: TextBlock) {
    values.removeAll()
    let capacity = block.samples.capacity
    for sample in 0..<block.samples.sampleCount {
      for feature in features {
        if let bag = block.layout.bagNumbers[feature] {
          let list = block.bags[bag]
          let offsets = block.samples.bags[bag].offsets.base
          for entry in Int(offsets[sample])..<Int(offsets[sample + 1]) {
            values.append(
              start: list.starts[entry], length: list.lengths[entry], hash: list.hashes[entry])
          }
        } else {
          let place = feature * capacity + sample
          values.append(
            start: block.starts.base[place], length: block.lengths.base[place],
            hash: block.hashes.base[place])
        }
      }
    }
    if rows.count < values.count { rows = AlignedBuffer(count: values.count + values.count / 4) }
  }
}
