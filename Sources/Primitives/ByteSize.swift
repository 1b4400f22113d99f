/// Sizes in bytes as people write them: `4GiB`, `64MiB`, `512K`, `1.5g`, `1000000`.
public enum ByteSize {
  /// Bytes named by `text`, or nil. K, M, G, T (any case, with or without `iB`) are powers of 1,024; `KB`, `MB`,
  /// `GB`, `TB` are powers of 1,000, as disks are sold.
  public static func parse(_ text: String) -> Int? {
    let lower = text.lowercased()
    let digits = lower.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = lower.dropFirst(digits.count).drop { $0 == " " }
    guard let number = Double(digits), number.isFinite, let scale = scales[String(unit)] else { return nil }
    let bytes = number * scale
    return bytes < 0x1p62 ? Int(bytes) : nil
  }

  private static let scales: [String: Double] = [
    "": 1, "b": 1,
    "k": 0x1p10, "kib": 0x1p10, "m": 0x1p20, "mib": 0x1p20, "g": 0x1p30, "gib": 0x1p30, "t": 0x1p40,
    "tib": 0x1p40,
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
  ]

  /// `bytes` with the largest binary unit that leaves at least 1, to one decimal: `1.5 GiB`.
  public static func format(_ bytes: Int) -> String {
    let (value, unit) = scaled(bytes)
    if unit == 0 { return "\(bytes) B" }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
  }

  private static let units = ["B", "KiB", "MiB", "GiB", "TiB"]

  private static func scaled(_ bytes: Int) -> (value: Double, unit: Int) {
    var value = Double(bytes)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return (value, unit)
  }

  /// `bytes` rounded up to a number that `format` prints and `parse` reads back as it is.
  public static func printable(_ bytes: Int) -> Int {
    let (value, unit) = scaled(bytes)
    if unit == 0 { return bytes }
    return Int((value * 10).rounded(.up) / 10 * Double(1 << (10 * unit)))
  }

  /// `bytes` rounded up to whole MiB, in the form that `parse` reads: what to type to get at least so much.
  public static func ceilingMebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20)MiB" }
}
