/// What went wrong, in words that a user can act on, and where.
///
/// `kind` lets code tell cases apart; `description` is the one line that the command line prints.
public struct ChanterError: Error, CustomStringConvertible, Sendable {
  /// Extensible, so that a target can add a case of its own without touching this file.
  public struct Kind: Hashable, Sendable {
    public let name: String
    public init(_ name: String) { self.name = name }

    /// The operating system refused: open, read, write, rename, no space left.
    public static let io = Kind("io")
    /// The input breaks its format: a log line, a configuration, a value out of range.
    public static let badInput = Kind("bad input")
    /// Bytes that Chanter itself wrote do not check out: checksum, truncation, impossible counts.
    public static let corrupt = Kind("corrupt")
    /// An output that is already there and is never overwritten.
    public static let exists = Kind("exists")
    /// Two things that do not belong together: a model and a dataset, a model and a configuration.
    public static let mismatch = Kind("mismatch")
    /// A memory budget below the least that works.
    public static let budget = Kind("budget")
    /// A file made by a newer version, or a machine that lacks what is needed.
    public static let unsupported = Kind("unsupported")
    /// A promise of the program itself was broken: a bug, never the user's fault.
    public static let broken = Kind("internal error")
  }

  public let kind: Kind
  /// What happened and what to do about it.
  public let message: String
  /// The file or directory it is about.
  public let path: String?
  /// 1-based line of a text file.
  public let line: Int?
  /// Byte offset in a binary file.
  public let offset: Int?

  public init(_ kind: Kind, _ message: String, path: String? = nil, line: Int? = nil, offset: Int? = nil) {
    self.kind = kind
    self.message = message
    self.path = path
    self.line = line
    self.offset = offset
  }

  public var description: String {
    var place = path ?? ""
    if let line { place += ":\(line)" }
    if let offset { place += " at byte \(offset)" }
    let prefix = kind == .broken ? "internal error (please report it): " : ""
    return place.isEmpty ? prefix + message : "\(place): \(prefix)\(message)"
  }
}
