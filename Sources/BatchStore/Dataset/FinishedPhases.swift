import Foundation
import Primitives

/// The phases of a long command that have ended, noted beside its unfinished output: after a kill the same command goes on
/// behind them.
///
/// A note says what its phase found and which work files it left. It is there once these are on the disk, and it is believed only if
/// it is whole, of the same command, and the files are as they were. `Format.md` has its form.
public final class FinishedPhases {
  private static let format = "chanter phase 1"

  private let output: PendingOutput
  /// A fingerprint of it.
  private let command: String

  /// - Parameter command: all that decides what the output is, such as inputs and options.
  public init(_ output: PendingOutput, command: String) {
    self.output = output
    var fingerprint = Fingerprint()
    fingerprint.update(command)
    self.command = fingerprint.hex
  }

  /// Full path of a work file.
  public func file(_ name: String) -> String { output.workFile(name) }

  /// Notes that `phase` has ended. When this returns, the note and the files are on the disk.
  /// - Parameters:
  ///   - state: what the phase found; the next ones need it.
  ///   - files: work files that it left, of which the note keeps a fingerprint.
  ///   - records: work files whose records have checksums of their own, which whoever reads them looks at; the note keeps their sizes.
  public func end(_ phase: String, _ state: some Encodable, files: [String] = [], records: [String] = [])
    throws
  {
    var note = Note(
      command: command, phase: phase, state: String(decoding: try Self.json(state), as: UTF8.self))
    for name in files + records {
      let file = try File(updating: self.file(name))
      try file.synchronize()
      note.files.append(
        Note.WorkFile(
          name: name, bytes: try file.size(),
          fingerprint: files.contains(name) ? try Self.fingerprint(of: file) : nil))
    }
    note.checksum = note.computedChecksum
    try output.writeWork(Self.noteName(phase), try Self.json(note))
  }

  /// What `phase` found if it has ended; nil if it has not, or if its note or a file of it is not what it was.
  public func state<State: Decodable>(of phase: String, _ type: State.Type = State.self) -> State? {
    guard let data = FileManager.default.contents(atPath: file(Self.noteName(phase))),
      let note = try? JSONDecoder().decode(Note.self, from: data),
      note.format == Self.format, note.command == command, note.phase == phase,
      note.checksum == note.computedChecksum, note.files.allSatisfy(isIntact)
    else { return nil }
    return try? JSONDecoder().decode(State.self, from: Data(note.state.utf8))
  }

  private func isIntact(_ noted: Note.WorkFile) -> Bool {
    guard let file = try? File(reading: self.file(noted.name)), (try? file.size()) == noted.bytes else {
      return false
    }
    return noted.fingerprint == nil || (try? Self.fingerprint(of: file)) == noted.fingerprint
  }

  private static func noteName(_ phase: String) -> String { phase + ".ended" }

  private static func json(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(value)
  }

  private static func fingerprint(of file: File) throws -> String {
    let buffer = AlignedBuffer<UInt8>(count: 1 << 20)
    let size = try file.size()
    var fingerprint = Fingerprint()
    for offset in stride(from: 0, to: size, by: buffer.count) {
      let count = min(buffer.count, size - offset)
      try file.read(at: offset, into: buffer.base, count: count)
      fingerprint.update(UnsafeRawBufferPointer(start: buffer.base, count: count))
    }
    return fingerprint.hex
  }

  private struct Note: Codable {
    struct WorkFile: Codable {
      var name: String
      var bytes: Int
      var fingerprint: String?
    }
    var format = FinishedPhases.format
    var command: String
    var phase: String
    /// JSON.
    var state: String
    var files: [WorkFile] = []
    var checksum = ""

    var computedChecksum: String {
      var fingerprint = Fingerprint()
      func add(_ text: String) {
        fingerprint.update(UInt64(text.utf8.count))
        fingerprint.update(text)
      }
      for text in [format, command, phase, state] { add(text) }
      for file in files {
        add(file.name)
        fingerprint.update(UInt64(bitPattern: Int64(file.bytes)))
        add(file.fingerprint ?? "")
      }
      return fingerprint.hex
    }
  }
}
