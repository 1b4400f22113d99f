import BatchStore
import Foundation
import Models
import Primitives
import TableStore

/// One table that was written.
public struct ExportedTable: Sendable {
  public let name: String
  public let rows: Int
  /// Weights of a row, a first-order weight at the end included.
  public let dimension: Int
  /// Files in the output directory.
  public let matrix: String
  public let values: String
}

public struct ExportResult: Sendable {
  /// Batches trained.
  public let batches: Int
  public let tables: [ExportedTable]
  /// Tensors of dense parameters.
  public let tensors: Int
}

/// Writes a model's last commit in formats that others read; also while the model is in training.
///
/// - `TABLE.npy`: fp32 [rows × weights], the weights of every row that training has changed, in row order: the vector, and
///   behind it the first-order weight if the model has any; without optimizer state. Rows never changed have nothing but
///   their random initial value, and are left out.
/// - `TABLE.values.tsv`: a line for each row of the matrix: its row number, a tab, the raw value (the number of its bucket
///   where values are hashed; nothing for a model without vocabulary), in which `\`, tab, line
///   feed and carriage return are written as `\\`, `\t`, `\n` and `\r`. Rows 0 (rare and unseen values) and 1 (empty)
///   stand for no value.
/// - `dense.safetensors`: the dense parameters without their optimizer state, by layer.
///
/// Streams: memory for buffers and the dense parameters. The directory appears under its name only when it is whole.
/// - Parameters:
///   - tables: names; empty for all.
///   - progress: called now and then with the rows looked at of the table under way.
/// - Throws: `.badInput` for a table that is not there, naming those that are; `.exists`, `.corrupt`, `.io`.
public func exportModel(
  at path: String, tables: [String], to output: String,
  progress: (_ table: String, _ rows: Int) -> Void = { _, _ in }
) throws -> ExportResult {
  let store = try ModelStore.openForReading(at: path)
  let header = try ModelHeader(store.header, path: path)
  let names = store.layout.tables.map(\.name)
  if let missing = tables.first(where: { !names.contains($0) }) {
    throw ChanterError(
      .badInput, "there is no table \(missing); the tables are \(names.joined(separator: ", "))", path: path)
  }
  let snapshot = try Snapshot(store)
  let specification = try header.specification(tables: store.layout.tables)
  let parts = try specification.rowParts()
  guard parts.allSatisfy({ $0.weights <= store.layout.dimension }) else {
    throw ChanterError(
      .corrupt, "the model's header does not fit its rows; restore it from a copy", path: path)
  }
  let pending = try PendingOutput(output)
  let tensors = try exportDense(snapshot, header, specification, store, to: pending.file("dense.safetensors"))
  var exported: [ExportedTable] = []
  let values = try VocabularyLink.file(in: path).map { try TableValues($0) }
  for (table, name) in names.enumerated() {
    try values?.beginTable()
    guard tables.isEmpty || tables.contains(name) else { continue }
    exported.append(
      try exportTable(table, name, snapshot, weights: parts[table].weights, values, pending) {
        progress(name, $0)
      })
  }
  try values?.finish(identity: header.dataset.vocabulary)
  try pending.publish()
  return ExportResult(batches: Int(snapshot.cursor), tables: exported, tensors: tensors)
}

/// - Returns: the number of tensors.
private func exportDense(
  _ snapshot: Snapshot, _ header: ModelHeader, _ specification: ModelSpecification, _ store: ModelStore,
  to path: String
) throws -> Int {
  let tensors = try specification.tensors()
  let record = try readDenseRecord(snapshot, tensors, path: store.path)
  let parameters = DenseRecord.parameters(record.rawBytes).bindMemory(to: Float.self)
  try withExtendedLifetime(record) {
    try SafetensorsFile.write(
      path,
      tensors.map { tensor in
        let range = tensor.offset..<tensor.offset + tensor.shape.reduce(1, *)
        return SafetensorsFile.Tensor(
          name: tensor.name, shape: tensor.shape, values: UnsafeBufferPointer(rebasing: parameters[range]))
      },
      metadata: [
        "format": "pt", "batches": "\(snapshot.cursor)", "model": header.configuration.network.kind.rawValue,
      ])
  }
  return tensors.count
}

/// The dense record of a snapshot.
/// - Throws: `.corrupt` unless it holds these tensors.
func readDenseRecord(
  _ snapshot: Snapshot, _ tensors: [ParameterTensor], path: String
) throws -> AlignedBuffer<UInt8> {
  let record = AlignedBuffer<UInt8>(count: snapshot.state.denseBytes)
  try snapshot.readDense(into: UnsafeMutableRawBufferPointer(record.prefix()))
  let count = DenseRecord.parameters(record.rawBytes).count / MemoryLayout<Float>.stride
  guard tensors.allSatisfy({ $0.offset + $0.shape.reduce(1, *) <= count }) else {
    throw ChanterError(
      .corrupt, "the model's header does not fit its dense parameters; restore it from a copy", path: path)
  }
  return record
}

private func exportTable(
  _ table: Int, _ name: String, _ snapshot: Snapshot, weights: Int, _ values: TableValues?,
  _ output: PendingOutput, progress: (Int) -> Void
) throws -> ExportedTable {
  let file = fileName(name)
  let matrix = try NumpyFile(output.file(file + ".npy"), columns: weights)
  let lines = try File(creating: output.file(file + ".values.tsv"))
  var text: [UInt8] = []
  func flush() throws {
    try text.withUnsafeBytes { try lines.write($0) }
    text.removeAll(keepingCapacity: true)
  }
  try snapshot.forEachChangedRow(of: table, progress: progress) { key, row in
    try matrix.append(row)
    text.append(contentsOf: "\(key.row)\t".utf8)
    if key.row >= Vocabulary.reservedRows, let value = try values?.value(of: key.row) {
      appendEscaped(value, to: &text)
    }
    text.append(UInt8(ascii: "\n"))
    if text.count >= 1 << 16 { try flush() }
  }
  try flush()
  try lines.synchronize()
  try matrix.finish()
  return ExportedTable(
    name: name, rows: matrix.rows, dimension: weights, matrix: file + ".npy",
    values: file + ".values.tsv")
}

/// A table's name as that of a file: what a path takes for something else is percent-encoded.
private func fileName(_ table: String) -> String {
  var allowed = CharacterSet(charactersIn: " ").inverted
  allowed.remove(charactersIn: "/%\0")
  let name = table.addingPercentEncoding(withAllowedCharacters: allowed) ?? table
  return name.hasPrefix(".") ? "%2E" + name.dropFirst() : name
}

private func appendEscaped(_ value: UnsafeRawBufferPointer, to text: inout [UInt8]) {
  for byte in value {
    switch byte {
    case UInt8(ascii: "\\"): text.append(contentsOf: Array("\\\\".utf8))
    case UInt8(ascii: "\t"): text.append(contentsOf: Array("\\t".utf8))
    case UInt8(ascii: "\n"): text.append(contentsOf: Array("\\n".utf8))
    case UInt8(ascii: "\r"): text.append(contentsOf: Array("\\r".utf8))
    default: text.append(byte)
    }
  }
}
