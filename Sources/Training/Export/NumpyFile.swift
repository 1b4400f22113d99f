import Foundation
import Primitives

/// A matrix of fp32 in NumPy's format, version 1.0 (numpy.lib.format), written row by row; the number of rows goes into the
/// header at the end.
final class NumpyFile {
  /// Magic, version and a header padded with spaces, as long for any number of rows.
  static let headerBytes = 128
  private static let bufferBytes = 1 << 20

  private let file: File
  private let columns: Int
  private var buffer: [UInt8] = []
  private(set) var rows = 0

  /// - Parameter path: must not exist.
  init(_ path: String, columns: Int) throws {
    file = try File(creating: path)
    self.columns = columns
    buffer.reserveCapacity(Self.bufferBytes + 4 * columns)
    buffer.append(contentsOf: Self.header(rows: 0, columns: columns))
  }

  func append(_ row: UnsafePointer<Float>) throws {
    for column in 0..<columns {
      withUnsafeBytes(of: row[column].bitPattern.littleEndian) { buffer.append(contentsOf: $0) }
    }
    rows += 1
    if buffer.count >= Self.bufferBytes { try flush() }
  }

  func finish() throws {
    try flush()
    try Self.header(rows: rows, columns: columns).withUnsafeBytes { try file.write($0, at: 0) }
    try file.synchronize()
  }

  private func flush() throws {
    try buffer.withUnsafeBytes { try file.write($0) }
    buffer.removeAll(keepingCapacity: true)
  }

  private static func header(rows: Int, columns: Int) -> [UInt8] {
    let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows), \(columns)), }"
    let length = headerBytes - 10
    let padded = text + String(repeating: " ", count: length - 1 - text.utf8.count) + "\n"
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xFF), UInt8(length >> 8)]
      + Array(padded.utf8)
  }
}
