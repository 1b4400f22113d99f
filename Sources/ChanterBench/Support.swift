import Foundation
import Primitives
import TableStore

/// What one workload did, as JSON on standard output.
struct Report: Encodable {
  /// Rows or blocks, as the workload says.
  let count: Int
  let bytes: Int
  let seconds: Double

  static func timed(count: Int, bytes: Int, _ body: () throws -> Void) throws {
    let start = ContinuousClock.now
    try body()
    Report(count: count, bytes: bytes, seconds: (ContinuousClock.now - start) / .seconds(1)).print()
  }

  func print() {
    let line = #"{"bytes": \#(bytes), "count": \#(count), "seconds": \#(seconds)}"# + "\n"
    FileHandle.standardOutput.write(Data(line.utf8))
  }
}

/// Rows to commit, in key order.
struct Changes {
  let keys: [RowKey]
  private let rows: AlignedBuffer<Float>
  private let order: [UInt32]
  var count: Int { keys.count }

  init(_ layout: RowLayout, keys: [RowKey]) {
    self.keys = keys
    rows = AlignedBuffer(count: keys.count * layout.rowFloats)
    for index in 0..<rows.count { rows.base[index] = Float(index & 1023) }
    order = keys.indices.map { UInt32($0) }
  }

  func commit(
    to store: ModelStore, dense: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) throws {
    let state = try store.readState()
    _ = try store.commit(
      keys: keys, order: order, count: count, rows: rows.base,
      dense: dense, cursor: state.cursor + 1)
  }
}

/// Distinct rows, ascending; a few less than `count` where the draw repeats itself.
func randomKeys(_ count: Int, of rows: UInt32, seed: UInt64) -> [RowKey] {
  let random = CounterRandom(seed: seed, stream: 7)
  let drawn = Set((0..<UInt64(count)).map { UInt32(random.below(UInt64(rows), $0)) })
  return drawn.sorted().map { RowKey(table: 0, row: $0) }
}

/// Makes the system forget what it holds of the model. Nothing of this process may have it mapped.
func dropFromCache(_ model: String) throws {
  let file = try File(reading: "\(model)/\(ModelStore.dataFile)")
  try file.synchronize()
  let code = posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_DONTNEED)
  if code != 0 { throw ChanterError(.io, "cannot drop it from the cache (error \(code))", path: file.path) }
}
