import BatchStore
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The columns of Criteo's click logs: label, 13 integers, 26 hexadecimal values, tab separated, no header.
public enum CriteoLayout {
  public static let integerCount = 13
  public static let categoryCount = 26
  static let fieldCount = 1 + integerCount + categoryCount
  /// Most digits of a categorical value.
  static let maximumDigits = 16

  /// Names of the embedding tables: C1 to C26.
  public static let tableNames = (1...categoryCount).map { "C\($0)" }

  /// A line without a label, as predictions read it, has 38 tabs and a line feed.
  static let layout = InputLayout(
    tableNames: tableNames, features: tableNames.enumerated().map { FeatureLayout(name: $1, table: $0) },
    denseNames: (1...integerCount).map { "I\($0)" }, leastLineBytes: 39)

  /// What a model sees of an integer: log(1 + max(x, 0)), and 0 for an empty one.
  public static func denseValue(_ integer: Int64?) -> Float {
    guard let integer, integer > 0 else { return 0 }
    return Float(log1p(Double(integer)))
  }

  /// `denseValue` of 0, 1, …: most integers of a log are small, and a logarithm costs as much as parsing a field.
  static let smallDenseValues: AlignedBuffer<Float> = {
    let values = AlignedBuffer<Float>(count: 1 << 12)
    for integer in 0..<values.count { values.base[integer] = denseValue(Int64(integer)) }
    return values
  }()
}
