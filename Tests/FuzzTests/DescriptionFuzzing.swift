import Foundation
import Primitives
import Training

@testable import Ingest

/// Files that say what data or a model is.
enum DescriptionFuzzing {
  /// A schema as a user writes it, or after a NUL as a dataset keeps it.
  static func schema(_ bytes: UnsafeRawBufferPointer) throws {
    let (choice, json) = bytes.choice
    let schema =
      try choice == 0
      ? Schema(json: String(decoding: json, as: UTF8.self), path: "dataset")
      : withFile(bytes) { try SchemaReader.read($0) }
    let again = try Schema(json: schema.json(), path: "dataset")
    try require(again == schema, "a dataset keeps its schema")
  }

  static func inference(_ bytes: UnsafeRawBufferPointer) throws {
    try withFile(bytes) { path in
      let text = try SchemaInference().run(path)
      do {
        _ = try SchemaReader.parse(text, path: "schema")
      } catch let error as ChanterError {
        try require(!error.message.hasPrefix("not YAML"), "a first schema is YAML: \(error)\n\(text)")
      }
    }
  }

  static func configuration(_ bytes: UnsafeRawBufferPointer) throws {
    try withFile(bytes) { _ = try ConfigurationReader.read(path: $0) }
  }
}
