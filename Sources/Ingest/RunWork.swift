import BatchStore
import Foundation
import Primitives

/// What a run leaves beside its unfinished output so that the same command can go on after it was killed.
final class RunWork {
  /// Files and phases; all are removed in the end.
  enum Name: String {
    /// What the output is made from.
    case run
    /// The lines in the order in which they are read.
    case arranged
    /// The samples with provisional rows, and marks; `SampleSpool`.
    case samples
    /// Uses of values beyond the memory limit, and their rows.
    case spilled, resolved
    /// The vocabulary, before it gets its name, and the numbering, once values beyond the memory limit have rows.
    case vocabulary, numbering
    /// What is known once all batches lie in the spools of the writer.
    case encoded
    /// The new number of every row, where rows are numbered anew.
    case rows
  }

  let output: PendingOutput
  let phases: FinishedPhases
  private var isContinued = false

  /// Inputs and options that decide what the result is.
  struct Stamp: Codable, Equatable {
    struct Input: Codable, Equatable {
      var path: String
      var size: Int?
      var modified: Int?
    }
    /// Raised with every change of the bytes of a work file or a segment: what another program left is no work to go on from.
    var version = 4
    var inputs: [Input]
    var options: [String: String]
  }

  /// Takes the place of the output `path`, with what an earlier run of the same command left there.
  /// - Parameter notice: hears whether it is gone on with, and if not, why.
  init(_ path: String, _ stamp: Stamp, notice: (String) -> Void) throws {
    output = try PendingOutput(path, keepingWork: true)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let text = try encoder.encode(stamp)
    phases = FinishedPhases(output, command: String(decoding: text, as: UTF8.self))
    if let bytes = FileManager.default.contents(atPath: file(.run)) {
      let difference = Self.difference(try? JSONDecoder().decode(Stamp.self, from: bytes), stamp)
      isContinued = difference == nil
      notice(difference.map { "starting over: \($0)" } ?? "going on where an earlier run stopped")
    }
    if !isContinued {
      try output.clear()
      try output.writeWork(Name.run.rawValue, text)
    }
  }

  private static func difference(_ old: Stamp?, _ new: Stamp) -> String? {
    guard let old, old.version == new.version else { return "what the earlier run left cannot be read" }
    if new.inputs.contains(where: { $0.size == nil }) {
      return "standard input and pipes cannot be read again from where the earlier run stopped"
    }
    if old.inputs.map(\.path) != new.inputs.map(\.path) { return "the earlier run had other inputs" }
    for (before, now) in zip(old.inputs, new.inputs) where before != now {
      return "\(now.path) has changed since the earlier run"
    }
    let names = Set(old.options.keys).union(new.options.keys).sorted()
    for name in names where old.options[name] != new.options[name] {
      return "the earlier run had another \(name)"
    }
    return nil
  }

  func file(_ name: Name) -> String { phases.file(name.rawValue) }

  func remove(_ names: Name...) { for name in names { File.remove(file(name)) } }

  /// See `FinishedPhases.end`.
  func end(_ phase: Name, _ state: some Encodable, files: [Name] = [], records: [Name] = []) throws {
    try phases.end(
      phase.rawValue, state, files: files.map(\.rawValue), records: records.map(\.rawValue))
  }

  /// What `end` noted, if it still holds.
  func state<State: Decodable>(of phase: Name, _ type: State.Type = State.self) -> State? {
    phases.state(of: phase.rawValue, type)
  }

  /// Gives the vocabulary its name in the output as well.
  func linkVocabulary() throws {
    let name = output.file(VocabularyFile.fileName)
    File.remove(name)
    try File.duplicate(file(.vocabulary), as: name)
  }

  /// Throws unless the disk has room for what is still to be written.
  /// - Parameter bytes: what temporary files and the result will take, about.
  func requireSpace(_ bytes: Int) throws {
    let free = try File.freeBytes(in: output.directory)
    let missing = max(0, bytes - (try output.workBytes()))
    guard missing <= free else {
      // What an earlier run has done is not lost for it.
      if isContinued { output.leave() }
      throw ChanterError(
        .io,
        "about \(ByteSize.format(missing)) are needed here for temporary files and the result, \(ByteSize.format(free)) are free; make room, or put the output on a larger disk",
        path: output.path)
    }
  }

  /// Runs `body`; where it finds that what the earlier run left is damaged, all of that goes, and `body` runs once more.
  /// - Parameter notice: hears so.
  func startingOver<Result>(notice: (String) -> Void, _ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as ChanterError
      where isContinued && error.kind == .corrupt && error.path?.hasPrefix(output.directory + "/") == true
    {
      isContinued = false
      notice("starting over: \(error.path ?? "") is damaged")
      let stamp = FileManager.default.contents(atPath: file(.run))
      try output.clear()
      if let stamp { try output.writeWork(Name.run.rawValue, stamp) }
      return try body()
    }
  }

  /// Runs what shows progress: an error that is thrown there stops the run as a kill does.
  func leaving(_ show: () throws -> Void) throws {
    do { try show() } catch {
      output.leave()
      throw error
    }
  }
}
