import BatchStore
import Foundation
import Models
import Primitives

/// Fingerprints of the dense parameters and of every row that a batch trained, batch after batch, in a file: what one
/// run writes, another is held against without either in memory. 8 bytes a row.
final class TraceFile {
  private let path: String
  private let file: FileHandle
  private let tables: [String]
  private var words: [UInt64] = []
  /// The first difference found, in words.
  private(set) var difference: String?

  init(creating path: String) throws {
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let file = FileHandle(forWritingAtPath: path)
    else { throw ChanterError(.io, "cannot create a temporary file", path: path) }
    self.path = path
    self.file = file
    tables = []
  }

  init(reading path: String, tables: [String]) throws {
    guard let file = FileHandle(forReadingAtPath: path) else {
      throw ChanterError(.io, "cannot read a temporary file", path: path)
    }
    self.path = path
    self.file = file
    self.tables = tables
  }

  deinit { try? file.close() }

  func record(_ step: TrainedStep) throws {
    fill(step)
    do {
      try file.write(contentsOf: words.withUnsafeBytes { Data($0) })
    } catch {
      throw ChanterError(.io, "cannot write a temporary file: \(error.localizedDescription)", path: path)
    }
  }

  /// Holds the step against the next one in the file; remembers the first difference.
  func compare(_ step: TrainedStep) throws {
    if difference != nil { return }
    fill(step)
    let size = words.count * 8
    guard let data = try file.read(upToCount: size), data.count == size else {
      difference = "batch \(step.step), which the plain trainer never reached"
      return
    }
    let differing = data.withUnsafeBytes { expected in
      words.indices.filter { expected.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) != words[$0] }
    }
    // A row that differs says more than the dense parameters (word 0), which soon differ with it.
    if let position = differing.first(where: { $0 > 0 }) {
      let key = step.batch.keys[position - 1]
      difference = "batch \(step.step), table \(tables[key.table]), row \(key.row)"
    } else if !differing.isEmpty {
      difference = "batch \(step.step), dense parameters"
    }
  }

  private func fill(_ step: TrainedStep) {
    words.removeAll(keepingCapacity: true)
    words.append(Fingerprint.short(step.parameters))
    let input = step.input
    for position in 0..<input.uniqueCount {
      let row = input.rows + Int(input.slots[position]) * input.rowFloats
      words.append(Fingerprint.short(UnsafeRawBufferPointer(start: row, count: input.rowFloats * 4)))
    }
  }
}
