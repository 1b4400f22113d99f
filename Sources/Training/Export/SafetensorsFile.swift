import Foundation
import Primitives

/// Named fp32 tensors in the safetensors format (huggingface/safetensors): an 8-byte length, a JSON header, the numbers.
enum SafetensorsFile {
  struct Tensor {
    let name: String
    /// Sizes of the dimensions, the slowest first.
    let shape: [Int]
    let values: UnsafeBufferPointer<Float>
  }

  private struct Entry: Encodable {
    let dtype = "F32"
    let shape: [Int]
    let dataOffsets: [Int]

    enum CodingKeys: String, CodingKey {
      case dtype, shape
      case dataOffsets = "data_offsets"
    }
  }

  /// - Parameters:
  ///   - path: must not exist.
  ///   - metadata: free text, read as `metadata()` by the format's libraries.
  static func write(_ path: String, _ tensors: [Tensor], metadata: [String: String]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var offset = 0
    var fields = ["\"__metadata__\":" + String(decoding: try encoder.encode(metadata), as: UTF8.self)]
    for tensor in tensors {
      precondition(tensor.shape.reduce(1, *) == tensor.values.count)
      let end = offset + 4 * tensor.values.count
      let name = String(decoding: try encoder.encode(tensor.name), as: UTF8.self)
      let entry = try encoder.encode(Entry(shape: tensor.shape, dataOffsets: [offset, end]))
      fields.append("\(name):\(String(decoding: entry, as: UTF8.self))")
      offset = end
    }
    var header = Array("{\(fields.joined(separator: ","))}".utf8)
    // The numbers begin at a multiple of 8.
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    let file = try File(creating: path)
    try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try file.write($0) }
    try header.withUnsafeBytes { try file.write($0) }
    for tensor in tensors { try file.write(UnsafeRawBufferPointer(tensor.values)) }
    try file.synchronize()
  }
}
