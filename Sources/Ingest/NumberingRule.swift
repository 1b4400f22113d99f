import BatchStore

/// Which values get rows of their own.
struct NumberingRule {
  /// Least uses in training.
  var minimumCount: Int
  /// Most rows of a table, the two reserved ones included; nil for no limit.
  var maximumRows: Int?

  /// How many values of a table may get rows beside the `known` ones that have some.
  func limit(beside known: Int) -> Int {
    maximumRows.map { max(0, $0 - Vocabulary.reservedRows - known) } ?? .max
  }
}
