import Foundation
import Testing

/// The built `chanter` executable, run as a user would run it.
struct Command {
  struct Result {
    let status: Int32
    let output: String
    let errors: String
    /// Whether a signal ended the process; `status` is its number then.
    let wasKilled: Bool
  }

  /// A process under way, its output going to files.
  final class Running {
    let process = Process()
    private let directory: URL

    init(_ arguments: [String], input: URL? = nil) throws {
      directory = FileManager.default.temporaryDirectory.appendingPathComponent(
        "chanter-run-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      process.executableURL = Command.executable
      process.arguments = arguments
      process.standardInput = try input.map { try FileHandle(forReadingFrom: $0) } ?? FileHandle.nullDevice
      process.standardOutput = try Self.sink(directory.appendingPathComponent("out"))
      process.standardError = try Self.sink(directory.appendingPathComponent("err"))
      try process.run()
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private static func sink(_ url: URL) throws -> FileHandle {
      try Data().write(to: url)
      return try FileHandle(forWritingTo: url)
    }

    func wait() throws -> Result {
      process.waitUntilExit()
      func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: directory.appendingPathComponent(name)), as: UTF8.self)
      }
      return Result(
        status: process.terminationStatus, output: try text("out"), errors: try text("err"),
        wasKilled: process.terminationReason == .uncaughtSignal)
    }
  }

  /// It lies beside the test bundle that is running.
  static let executable = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("chanter")

  static func run(_ arguments: String..., input: URL? = nil) throws -> Result {
    try Running(arguments, input: input).wait()
  }

  /// Runs a command that has to succeed, and returns its standard output.
  @discardableResult
  static func succeed(
    _ arguments: String..., input: URL? = nil, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String {
    let result = try Running(arguments, input: input).wait()
    #expect(
      result.status == 0 && !result.wasKilled, "\(arguments): \(result.errors)",
      sourceLocation: sourceLocation)
    return result.output
  }

  /// Runs a command that has to fail with one line that contains all of `parts`.
  static func fail(
    _ arguments: String..., input: URL? = nil, status: Int32 = 1, saying parts: [String],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try Running(arguments, input: input).wait()
    #expect(
      result.status == status && !result.wasKilled, "\(arguments): \(result.status) \(result.errors)",
      sourceLocation: sourceLocation)
    let lines = result.errors.split(separator: "\n").filter { $0.hasPrefix("Error: ") }
    #expect(lines.count == 1, "\(result.errors)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(result.errors.contains(part), "\(result.errors)", sourceLocation: sourceLocation)
    }
  }

  /// The object that a command printed as JSON, or the last of several lines. Numbers are read to the last bit.
  static func json(_ output: String) throws -> [String: JSONValue] {
    let line = try #require(output.split(separator: "\n").last)
    return try JSONDecoder().decode([String: JSONValue].self, from: Data(line.utf8))
  }

  /// A configuration of the repository.
  static func configuration(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("data/configs/\(name)").path
  }

  /// Tests that train on hundreds of thousands of samples take minutes without optimisation.
  static var isOptimized: Bool {
    var isDebug = false
    assert(
      {
        isDebug = true; return true
      }())
    return !isDebug
  }
}

/// One value of a JSON object.
enum JSONValue: Decodable {
  case number(Double)
  case text(String)
  case boolean(Bool)
  case other

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Bool.self) {
      self = .boolean(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else {
      self = .other
    }
  }

  var number: Double? { if case .number(let value) = self { value } else { nil } }
  var text: String? { if case .text(let value) = self { value } else { nil } }
  var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
}

/// Every file below `directory` with its contents, to see that nothing changed. Lock files may: they name readers and the
/// last trainer.
func contents(of directory: URL) throws -> [String: Data] {
  var result: [String: Data] = [:]
  let locks = ["lock.mdb", "trainer.lock"]
  for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path)
  where !locks.contains((name as NSString).lastPathComponent) {
    let url = directory.appendingPathComponent(name)
    let isDirectory = FileManager.default.fileExists(atPath: url.path + "/.")
    if !isDirectory { result[name] = try Data(contentsOf: url) }
  }
  return result
}
