/// The operations of a schema, with the tables that they use.
struct OperationPlan {
  private(set) var operations: [ColumnOperation] = []
  private(set) var buckets = BucketTable()

  init(_ schema: Schema, _ markers: [[[UInt8]]]) throws {
    var dense = 0
    var feature = 0
    var bag = 0
    for (number, column) in schema.columns.enumerated() {
      var operation = ColumnOperation(column: number)
      operation.hasMarkers = !markers[number].isEmpty
      switch column.kind {
      case .label(let rule):
        switch rule {
        case .binary: operation.code = .binaryLabel
        case .threshold(let threshold):
          operation.code = .thresholdLabel
          operation.offset = threshold
        case .values: operation.code = .valueLabel
        }
      case .dense(let transform):
        operation.target = dense
        dense += 1
        switch transform {
        case .none: operation.code = .dense
        case .log1p: operation.code = .log1p
        case .standardise(let moments):
          operation.code = .standardise
          operation.awaitsMoments = moments == nil
          if let moments {
            operation.offset = moments.mean
            operation.scale = moments.deviation > 0 ? 1 / moments.deviation : 0
          }
        }
      case .buckets(let edges, _):
        operation.code = .bucket
        operation.target = feature
        feature += 1
        if case .boundaries(let boundaries) = edges { buckets.add(boundaries, to: &operation) }
      case .categorical(let categorical):
        switch categorical.values {
        case .string: operation.code = .string
        case .integer: operation.code = .integer
        case .hexadecimal: operation.code = .hexadecimal
        }
        operation.target = feature
        feature += 1
        if let separator = categorical.separator {
          operation.isBag = true
          operation.target = bag
          operation.separator = separator
          operation.maximumLength = categorical.maximumLength ?? .max
          bag += 1
        }
      case .time: operation.code = .time
      case .split: operation.code = .split
      case .weight: operation.code = .weight
      case .ignored: break
      }
      operations.append(operation)
    }
  }
}
