import Foundation
import Primitives

/// Readers of bytes that anybody may have made. Whatever the bytes are, each gives a result or a `ChanterError` that says what is
/// wrong with them; never a crash, and no read beyond them.
enum FuzzTarget: String, CaseIterable {
  /// A batch as it is after unpacking, below every checksum.
  case frame
  /// A segment of batches.
  case segment
  case manifest
  case vocabulary
  /// What a killed run leaves of its samples.
  case spool
  /// A file in any packing, cut into blocks and lines.
  case input
  /// Lines in Criteo's layout.
  case criteo
  /// Lines of a table that a schema describes.
  case table
  case schema
  /// A table of which a first schema is made.
  case inference
  case configuration

  /// Reads `bytes`.
  /// - Returns: whether they were accepted.
  /// - Throws: `Violation` if the reader breaks its promise.
  @discardableResult
  func run(_ bytes: UnsafeRawBufferPointer) throws -> Bool {
    do {
      switch self {
      case .frame: try StoreFuzzing.frame(bytes)
      case .segment: try StoreFuzzing.segment(bytes)
      case .manifest: try StoreFuzzing.manifest(bytes)
      case .vocabulary: try StoreFuzzing.vocabulary(bytes)
      case .spool: try SpoolFuzzing.spool(bytes)
      case .input: try TextFuzzing.input(bytes)
      case .criteo: try TextFuzzing.criteo(bytes)
      case .table: try TextFuzzing.table(bytes)
      case .schema: try DescriptionFuzzing.schema(bytes)
      case .inference: try DescriptionFuzzing.inference(bytes)
      case .configuration: try DescriptionFuzzing.configuration(bytes)
      }
      return true
    } catch let error as ChanterError {
      guard error.kind != .broken else { throw Violation("\(error)") }
      return false
    } catch let violation as Violation {
      throw violation
    } catch {
      throw Violation("an error that says nothing to a user: \(error)")
    }
  }

  /// Files to begin with, and those that once broke something.
  var corpus: String { Self.tests + "/FuzzTests/Corpus/\(rawValue)" }

  static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .path
}

/// A promise that was broken.
struct Violation: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func require(_ condition: Bool, _ promise: @autoclosure () -> String) throws {
  if !condition { throw Violation(promise()) }
}

extension UnsafeRawBufferPointer {
  /// The first byte, which chooses between variants of a target, and the others.
  var choice: (UInt8, UnsafeRawBufferPointer) {
    isEmpty ? (0, self) : (self[0], UnsafeRawBufferPointer(rebasing: self[1...]))
  }
}

/// Calls `body` with a directory that is there for as long.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder =
    NSTemporaryDirectory()
    + "chanter-fuzz-\(ProcessInfo.processInfo.processIdentifier)-\(UInt64.random(in: 0 ... .max))"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}

/// Calls `body` with the path of a file that holds `bytes`.
func withFile<Result>(_ bytes: UnsafeRawBufferPointer, _ body: (String) throws -> Result) throws -> Result {
  try withFolder { folder in
    try File(creating: folder + "/input").write(bytes)
    return try body(folder + "/input")
  }
}
