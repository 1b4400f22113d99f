import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The lines of all inputs in the order in which they are numbered: those that are trained on, then validation, then test,
/// each in the order of time if that is asked for. Beside the lines it finds the quantiles that buckets need.
///
/// Every line is checked on the way, so that what follows sees good ones only. Memory: that of reading, and `runBytes` for
/// sorting. Disk: the text, packed, twice.
struct Arrangement: Codable {
  private static let blocksPerThread = 4
  /// Text that is sorted at once where no memory limit says less.
  static let defaultRunBytes = 256 << 20

  /// With boundaries for the quantiles.
  let schema: Schema
  /// Lines of each part.
  let samplesByPart: [Int]
  let skipped: SkippedLines

  /// Whether samples of these options have to be arranged; otherwise inputs are read as they come.
  static func isNeeded(_ options: PreprocessOptions) -> Bool {
    options.schema.ordersByTime || options.schema.namesParts || !options.schema.quantiles.isEmpty
  }

  /// Memory beside that of a run.
  static func bytes(_ schema: Schema, _ layout: InputLayout, threads: Int) -> Int {
    let quantiles = schema.quantiles.count
    let route = SampleRoute.bytes(capacity: layout.samplesPerBlock, quantiles: quantiles)
    return 2 * blocksPerThread * threads * (TextBlock.memory(layout) + route)
      + quantiles * QuantileSample.bytes + LineSorter.bytes(runBytes: 0) + PackedText.bytes
  }

  /// - Parameters:
  ///   - directory: where temporary files lie.
  ///   - path: gets the lines.
  init(
    _ options: PreprocessOptions, directory: String, path: String, memory: PreprocessMemory, pool: WorkerPool,
    _ progress: (PreprocessProgress) throws -> Void
  ) throws {
    let parser = try SchemaParser(options.schema, predicts: false, precision: options.densePrecision)
    var quantileNumbers = [Int?](repeating: nil, count: options.schema.columns.count)
    for (number, quantile) in options.schema.quantiles.enumerated() {
      quantileNumbers[quantile.column] = number
    }
    var samples = options.schema.quantiles.map { _ in QuantileSample() }
    var account = LineAccount(options.badLines)
    var counts = [0, 0, 0]
    let inputs = options.allInputs
    let sorter = LineSorter(directory: directory, runBytes: memory.runBytes)
    let roundSize = Self.blocksPerThread * pool.threadCount
    let reader = try TextReader(
      inputs, layout: parser.layout, blocks: 2 * roundSize, windowBytes: memory.windowBytes)
    defer { reader.stop() }
    var round: [TextBlock] = []
    var sequence = 0
    while true {
      round.removeAll(keepingCapacity: true)
      while round.count < roundSize, let block = try reader.next() {
        if block.isFirst { try parser.begin(block, path: inputs[block.input], sameOrder: true) }
        block.route =
          block.route
          ?? SampleRoute(capacity: parser.layout.samplesPerBlock, quantileNumbers: quantileNumbers)
        round.append(block)
      }
      if round.isEmpty { break }
      pool.run(round.count) { task, _ in
        round[task].route?.begin(round[task])
        parser.parse(round[task])
      }
      for block in round {
        try account.check(block, path: inputs[block.input])
        guard let route = block.route else { continue }
        let inputPart = options.part(ofInput: block.input)
        for sample in 0..<block.samples.sampleCount {
          let part = inputPart > 0 ? inputPart : Int(route.parts.base[sample])
          let key = LineKey(
            part: part, time: options.schema.ordersByTime ? route.times.base[sample] : 0, sequence: sequence)
          try sorter.add(
            key,
            UnsafeRawBufferPointer(
              start: route.text.base + Int(route.starts.base[sample]), count: Int(route.lengths.base[sample]))
          )
          for (number, column) in route.observed.enumerated() {
            samples[number].add(column.base[sample], key)
          }
          counts[part] += 1
          sequence += 1
        }
      }
      try progress(PreprocessProgress(phase: .arranging, done: sequence, total: 0))
      for block in round { try reader.giveBack(block) }
    }
    if counts[0] == 0 {
      throw ChanterError(
        .badInput, "no sample belongs to the training part; look at the schema's split", path: inputs[0])
    }
    let training =
      SplitRanges(counts, holdout: options.holdout, valid: options.validShare).train.upperBound
    let text = try PackedText(creating: path)
    if let header = parser.header { try header.withUnsafeBytes { try text.append($0) } }
    var end: LineKey?
    var written = 0
    try sorter.finish { key, line in
      if written == training { end = key }
      try text.append(line)
      written += 1
      if written % 65_536 == 0 {
        try progress(PreprocessProgress(phase: .arranging, done: written, total: sequence))
      }
    }
    try text.finish()
    schema = options.schema.withBoundaries(
      zip(options.schema.quantiles, samples).map { $1.boundaries($0.count, before: end) })
    samplesByPart = counts
    skipped = account.skipped
  }

}

extension Schema {
  /// The columns whose buckets are still to be found, and how many each has.
  var quantiles: [(column: Int, count: Int)] {
    columns.enumerated().compactMap { number, column in
      if case .buckets(.quantiles(let count), _) = column.kind { (number, count) } else { nil }
    }
  }

  /// - Parameter boundaries: of the columns in `quantiles`.
  func withBoundaries(_ boundaries: [[Double]]) -> Schema {
    var schema = self
    for (quantile, edges) in zip(quantiles, boundaries) {
      if case .buckets(_, let table) = schema.columns[quantile.column].kind {
        schema.columns[quantile.column].kind = .buckets(.boundaries(edges), table: table)
      }
    }
    return schema
  }
}
