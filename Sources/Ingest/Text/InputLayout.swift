import BatchStore

/// What the samples of an input consist of, and the bounds that buffers for them follow from.
struct InputLayout: Equatable, Sendable {
  /// Names of the tables; several features may share one.
  let tableNames: [String]
  let features: [FeatureLayout]
  /// Names of the dense columns.
  let denseNames: [String]
  let hasWeights: Bool
  let hasTimes: Bool
  /// Bytes of the shortest line that can be a sample, its line feed included: a block has so many samples at most.
  let leastLineBytes: Int
  /// Most entries of a sample in all its bags; nil if there is no such bound.
  let maximumBagLength: Int?
  /// Texts behind that of every block, for values that are not written in it.
  private(set) var tail: [UInt8] = []
  let shape: SampleShape
  /// The features of each table, in order.
  let featuresByTable: [[Int]]
  /// Number of each feature among the bags; nil for a single-valued one.
  let bagNumbers: [Int?]

  init(
    tableNames: [String], features: [FeatureLayout], denseNames: [String], hasWeights: Bool = false,
    hasTimes: Bool = false,
    leastLineBytes: Int, maximumBagLength: Int? = 0
  ) {
    self.tableNames = tableNames
    self.features = features
    self.denseNames = denseNames
    self.hasWeights = hasWeights
    self.hasTimes = hasTimes
    self.leastLineBytes = leastLineBytes
    self.maximumBagLength = maximumBagLength
    shape = SampleShape(
      tableCount: tableNames.count, features: features, denseCount: denseNames.count, hasWeights: hasWeights,
      hasTimes: hasTimes)
    featuresByTable = tableNames.indices.map { table in
      features.indices.filter { features[$0].table == table }
    }
    var bags = 0
    bagNumbers = features.map { feature in
      if !feature.isBag { return nil }
      defer { bags += 1 }
      return bags
    }
  }

  func with(tail: [UInt8]) -> InputLayout {
    var layout = self
    layout.tail = tail
    return layout
  }

  var tableCount: Int { tableNames.count }
  var denseCount: Int { denseNames.count }

  /// The most samples of a block of text.
  var samplesPerBlock: Int { TextBlock.bytes / leastLineBytes + 1 }
  /// The most entries of all bags of a block: each is a byte or more, and a separator.
  var bagEntriesPerBlock: Int {
    guard shape.bagCount > 0 else { return 0 }
    return min(TextBlock.bytes / 2, (maximumBagLength ?? TextBlock.bytes) * samplesPerBlock)
  }
}

/// Turns blocks of text into samples. Blocks may be parsed side by side.
protocol BlockParser: Sendable {
  var layout: InputLayout { get }

  /// Sees the first block that comes of each input, in order and before it is parsed; of an input that is not read from its
  /// start, a later one.
  /// - Throws: `.badInput` for an input that cannot be read at all.
  mutating func begin(_ block: TextBlock, path: String) throws

  /// Parses every line of a block into its columns, and notes what is wrong with bad ones, which leave no sample.
  func parse(_ block: TextBlock)
}
