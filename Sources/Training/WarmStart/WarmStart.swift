import BatchStore
import Models
import Primitives
import TableStore

/// What a new model has taken from another one.
public struct WarmStartReport: Sendable {
  /// Batches that the other model was trained on.
  public let batches: Int
  /// Rows taken, table by table; nil for a table that the other model does not have.
  public let tables: [(name: String, rows: Int?)]
  /// Why the dense parameters were not taken, or nil.
  public let denseDifference: String?
}

/// Makes a new model that begins with the weights of another one (`--from`): rows of tables of the same name, raw value by raw
/// value where the vocabularies differ, and the dense parameters if the layers have the same shapes. Optimizer state starts
/// fresh, for rows and dense parameters alike: the other one's accumulated steps belong to its learning rate and its data.
///
/// Bounded memory, beside that of the network, which is there already: a part of the target's values at a time, with a pass
/// over the source's table for each part. The model appears under its name only when it is whole.
struct WarmStart {
  let sourcePath: String
  /// Bytes to stay within.
  let memory: Int

  /// What an in-memory run allows, which states no budget.
  static let defaultMemory = 512 << 20

  /// Less would take a pass over the other model for every few values.
  private static let leastMemory = 4 << 20

  /// What a budget leaves beside the network, an open store, and the dense record with its pages.
  static func memory(of budget: Int, beside setup: TrainingSetup) -> Int {
    max(leastMemory, budget - setup.networkBytes - MemoryCosts.openStoreBytes - 2 * setup.denseRecordBytes)
  }

  private let store: ModelStore
  private let snapshot: Snapshot
  private let header: ModelHeader

  init(from sourcePath: String, memory: Int) throws {
    self.sourcePath = sourcePath
    self.memory = memory
    store = try ModelStore.openForReading(at: sourcePath)
    snapshot = try Snapshot(store)
    header = try ModelHeader(store.header, path: sourcePath)
  }

  /// - Parameters:
  ///   - header: of the new model.
  ///   - network: gets the dense parameters, if they are taken.
  /// - Throws: `.mismatch` if the rows have another number of weights, or weights that mean something else.
  func makeModel(
    at path: String, header newHeader: ModelHeader, setup: TrainingSetup, network: DenseModel
  ) throws -> WarmStartReport {
    let target = setup.rowLayout
    guard target.dimension == store.layout.dimension else {
      throw ChanterError(
        .mismatch,
        "rows of this model have \(store.layout.dimension) weights, and those of the new one \(target.dimension); give both"
          + " the same dimension, or leave out --from", path: sourcePath)
    }
    // Rows of one length may still be made of other parts.
    let parts = try header.specification(tables: store.layout.tables).rowParts()
    for (table, wanted) in zip(target.tables, try setup.specification.rowParts()) {
      guard let source = store.layout.tables.firstIndex(where: { $0.name == table.name }) else { continue }
      guard parts[source] == wanted else {
        throw ChanterError(
          .mismatch,
          "rows of table \(table.name) have \(parts[source]) in this model, and \(wanted) in the new one; give both the same"
            + " dimensions and a model of the same kind, or leave out --from", path: sourcePath)
      }
    }
    let difference = try takeDense(setup.specification, network)
    try VocabularyLink.check(in: sourcePath, identity: header.dataset.vocabulary)
    let pending = try PendingOutput(path, folder: ModelStore.nurseryName)
    let rows = try {
      let new = try setup.createModel(
        at: pending.directory, header: newHeader, network: network, beside: [PendingOutput.markerName])
      let writer = try WarmStartWriter(new, memory: memory / 2)
      let rows = try target.tables.indices.map { try copyTable($0, setup.dataset, target, writer) }
      try writer.finish()
      return rows
    }()
    try pending.publish()
    return WarmStartReport(
      batches: Int(snapshot.cursor),
      tables: zip(target.tables, rows).map { ($0.name, $1) }, denseDifference: difference)
  }

  /// Copies every tensor, or nothing if one has another shape; returns what differs.
  private func takeDense(_ specification: ModelSpecification, _ network: DenseModel) throws -> String? {
    let own = try header.specification(tables: store.layout.tables).tensors()
    let wanted = try specification.tensors()
    guard own.map(\.name) == wanted.map(\.name) else {
      return "the networks have different layers"
    }
    for (one, other) in zip(own, wanted) where one.shape != other.shape {
      return "\(one.name) has the shape \(one.shape) there and \(other.shape) here"
    }
    let record = try readDenseRecord(snapshot, own, path: sourcePath)
    let parameters = AlignedBuffer<UInt8>(count: network.parameterBytes.count)
    let bytes = UnsafeMutableRawBufferPointer(parameters.prefix())
    bytes.copyMemory(from: network.parameterBytes)
    for (one, other) in zip(own, wanted) {
      let count = 4 * one.shape.reduce(1, *)
      UnsafeMutableRawBufferPointer(rebasing: bytes[4 * other.offset..<4 * other.offset + count])
        .copyMemory(
          from: UnsafeRawBufferPointer(rebasing: record.rawBytes[4 * one.offset..<4 * one.offset + count]))
    }
    try withExtendedLifetime(record) { try network.load(parameters.rawBytes) }
    return nil
  }

  /// - Returns: rows taken, nil without a table of the name.
  private func copyTable(
    _ table: Int, _ dataset: Dataset, _ target: RowLayout, _ writer: WarmStartWriter
  ) throws -> Int? {
    let name = target.tables[table].name
    guard let source = store.layout.tables.firstIndex(where: { $0.name == name }) else { return nil }
    let rowCount = target.tables[table].rows
    let before = writer.rows
    let vocabulary = VocabularyLink.file(in: sourcePath)
    guard header.dataset.vocabulary != dataset.manifest.vocabularyIdentity, let vocabulary,
      dataset.manifest.hasVocabulary
    else {
      try requireSameNumbering(dataset)
      try snapshot.forEachChangedRow(of: source) { key, row in
        if key.row < rowCount { try writer.append(RowKey(table: table, row: key.row), row) }
      }
      return writer.rows - before
    }
    let wanted = try values(in: "\(dataset.path)/\(VocabularyFile.fileName)", of: table)
    guard wanted.hashRows == (try TableValues(vocabulary).hashRows) else {
      throw ChanterError(
        .mismatch,
        "the values of one vocabulary are hashed, and those of the other are not, or to another number of rows, so they"
          + " cannot be told apart; leave out --from", path: sourcePath)
    }
    var isFirst = true
    var part = try wanted.next(bytes: memory / 4)
    // At least once, for the rows that stand for no value.
    repeat {
      let values = try values(in: vocabulary, of: source)
      try snapshot.forEachChangedRow(of: source) { key, row in
        if key.row < Vocabulary.reservedRows {
          if isFirst { try writer.append(RowKey(table: table, row: key.row), row) }
        } else if let part, let value = try values.value(of: key.row), let number = part.values.find(value) {
          try writer.append(RowKey(table: table, row: part.firstRow + UInt32(number)), row)
        }
      }
      isFirst = false
      // Only one part is in memory at a time.
      part = nil
      part = try wanted.next(bytes: memory / 4)
    } while part != nil
    return writer.rows - before
  }

  private func values(in path: String, of table: Int) throws -> TableValues {
    let values = try TableValues(path)
    for _ in 0...table { try values.beginTable() }
    return values
  }

  /// Rows are taken by number where one side has no raw values; that is right for one numbering alone.
  private func requireSameNumbering(_ dataset: Dataset) throws {
    guard header.dataset.vocabulary == dataset.manifest.vocabularyIdentity else {
      throw ChanterError(
        .mismatch,
        "the vocabularies differ and one of them keeps no raw values, so rows cannot be told apart; leave out --from",
        path: sourcePath)
    }
  }
}
