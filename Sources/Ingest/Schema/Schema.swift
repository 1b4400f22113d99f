/// How the lines of a text file become samples: its format, and what each column is.
///
/// Read from YAML by `SchemaReader`; a dataset keeps it, with the statistics that were found, as JSON.
public struct Schema: Codable, Equatable, Sendable {
  /// Between two fields; one byte that is not a quote or a line end.
  public var separator = UInt8(ascii: ",")
  /// Whether the first line of each file names the columns, which may then come in any order.
  public var hasHeader = true
  /// Whether a field in double quotes may hold separators, and two quotes for one (RFC 4180). A field ends on its line.
  public var quotes = true
  /// Whether spaces around a field are left out.
  public var trims = false
  /// What stands for no value, beside an empty field.
  public var missing: [String] = []
  /// Whether columns of a header that are not in `columns` are left out; else they are an error.
  public var ignoresOtherColumns = false
  /// Whether the samples are put in the order of the time column, those of one time as they came.
  public var ordersByTime = false
  /// Where the validation and the test part start in time, if the time column splits.
  public var split: TimeSplit?
  /// In the order of the file, if it has no header.
  public var columns: [SchemaColumn] = []

  public init() {}
}

/// Times from which on a sample is no longer of the training part.
public struct TimeSplit: Codable, Equatable, Sendable {
  /// In the units of the time column.
  public var validFrom: Int64?
  public var testFrom: Int64?

  public init(validFrom: Int64?, testFrom: Int64?) {
    self.validFrom = validFrom
    self.testFrom = testFrom
  }
}

public struct SchemaColumn: Codable, Equatable, Sendable {
  public var name: String
  public var kind: Kind
  /// What stands for no value in this column; nil for what the schema says.
  public var missing: [String]?

  public init(_ name: String, _ kind: Kind, missing: [String]? = nil) {
    self.name = name
    self.kind = kind
    self.missing = missing
  }

  public enum Kind: Codable, Equatable, Sendable {
    case label(LabelRule)
    case dense(DenseTransform)
    /// A number that becomes a categorical value, the number of its bucket.
    case buckets(Buckets, table: String)
    case categorical(Categorical)
    case time(TimeFormat)
    /// Names the part of its sample.
    case split(SplitValues)
    /// A finite number above 0.
    case weight
    case ignored
  }
}

/// Which labels are positive.
public enum LabelRule: Codable, Equatable, Sendable {
  /// 1 is, 0 is not, and there is nothing else.
  case binary
  /// A number from this on is.
  case threshold(Double)
  /// These are; the others are not, or only those in `negative` if there are any, and then there is nothing else.
  case values(positive: [String], negative: [String])
}

/// What a model sees of a number; a missing one is always 0 to it.
public enum DenseTransform: Codable, Equatable, Sendable {
  case none
  /// log(1 + max(x, 0)), as the reference DLRM has it.
  case log1p
  /// (x - mean) / standard deviation over the training part; nil until they are known.
  case standardise(Moments?)
}

/// Mean and (population) standard deviation of a column over the training part; missing values are left out.
public struct Moments: Codable, Equatable, Sendable {
  public var mean: Double
  public var deviation: Double
}

/// Ranges that a number falls in. Bucket i holds x with boundary i - 1 <= x < boundary i.
public enum Buckets: Codable, Equatable, Sendable {
  /// Ascending.
  case boundaries([Double])
  /// So many buckets with about equally many values of the training part; turned into boundaries when these are known.
  case quantiles(Int)
}

public struct Categorical: Codable, Equatable, Sendable {
  public enum Values: String, Codable, CaseIterable, Sendable {
    /// UTF-8 text, as it is.
    case string
    /// 64 bits; +7 and 007 are 7.
    case integer
    /// 1 to 16 hexadecimal digits, as they are.
    case hexadecimal
  }

  public var values = Values.string
  /// Columns of one table share values and rows.
  public var table: String
  /// Between the values of a column that has several; nil for one value.
  public var separator: UInt8?
  /// Most values of a sample that are kept, the first ones.
  public var maximumLength: Int?

  public init(table: String, values: Values = .string, separator: UInt8? = nil, maximumLength: Int? = nil) {
    self.table = table
    self.values = values
    self.separator = separator
    self.maximumLength = maximumLength
  }
}

public enum TimeFormat: String, Codable, CaseIterable, Sendable {
  /// 64 bits, whatever the unit.
  case integer
  /// 2014-10-21, 2014-10-21 07:30, 2014-10-21T07:30:00.5+02:00; without a zone UTC. In microseconds since 1970.
  case iso8601
}

public struct SplitValues: Codable, Equatable, Sendable {
  public var train: [String]
  public var valid: [String]
  public var test: [String]
}
