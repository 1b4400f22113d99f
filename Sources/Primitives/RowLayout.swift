/// One embedding table as a model declares it when it is created.
public struct TableLayout: Codable, Equatable, Sendable {
  public let name: String
  /// Declared rows, reserved ones included. Costs no memory.
  public let rows: UInt32

  public init(name: String, rows: UInt32) {
    self.name = name
    self.rows = rows
  }
}

/// The shape of every row of a model, and the value that a row has before anything was stored for it.
///
/// A row is `dimension` weights followed by `stateFloats` floats of optimizer state, all fp32. The initial weights are
/// uniform in ±bound of the table, from a counter-based hash of (seed, table, row, column), so a table of 10^9 rows costs
/// nothing until a row is touched. Row 0 (unseen or rare values) starts at zero. Optimizer state starts at zero.
public struct RowLayout: Codable, Equatable, Sendable {
  public let tables: [TableLayout]
  public let dimension: Int
  public let stateFloats: Int
  public let seed: UInt64
  /// Per table: weights that start at random. Those behind them, such as first-order weights, start at zero.
  public let randomWeights: [Int]
  /// Per table: bound of the random weights. Stays what it is when the table grows, so that no row changes its value.
  public let initialScales: [Float]

  /// - Parameters:
  ///   - randomWeights: all weights, if nil.
  ///   - initialScales: `usualScale` of each table, if nil.
  public init(
    tables: [TableLayout], dimension: Int, stateFloats: Int, seed: UInt64, randomWeights: [Int]? = nil,
    initialScales: [Float]? = nil
  ) {
    self.tables = tables
    self.randomWeights = randomWeights ?? tables.map { _ in dimension }
    self.initialScales = initialScales ?? tables.map { Self.usualScale(rows: $0.rows) }
    self.dimension = dimension
    self.stateFloats = stateFloats
    self.seed = seed
  }

  /// The bound of facebookresearch/dlrm (`create_emb`): sqrt(1 / rows).
  public static func usualScale(rows: UInt32) -> Float { (1 / Float(max(1, rows))).squareRoot() }

  /// Floats of a row: weights and state.
  public var rowFloats: Int { dimension + stateFloats }
  public var rowBytes: Int { rowFloats * 4 }

  /// Which stream of the seed the initial rows draw from. Do not renumber: it is part of every model's identity.
  private static let initialRowStream: UInt64 = 1

  /// Writes the initial value of `row` (`rowFloats` floats) to `destination`.
  public func fillInitial(table: Int, row: UInt32, into destination: UnsafeMutablePointer<Float>) {
    destination.initialize(repeating: 0, count: rowFloats)
    if row == 0 { return }
    let stream = CounterRandom(seed: seed, stream: Self.initialRowStream)
    let random = CounterRandom(CounterRandom(stream, UInt64(table)), UInt64(row))
    let scale = initialScales[table]
    for column in 0..<randomWeights[table] {
      // 24 bits are all that a Float in [0, 1) holds.
      let unit = Float(random.bits(UInt64(column)) >> 40) * 0x1p-24
      destination[column] = (2 * unit - 1) * scale
    }
  }
}
