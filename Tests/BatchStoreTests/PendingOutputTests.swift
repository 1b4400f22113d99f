import BatchStore
import Foundation
import Primitives
import TestSupport
import Testing

@Suite struct PendingOutputTests {
  @Test func nothingIsNamedOutUntilPublished() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      let output = try PendingOutput(path)
      try Data("x".utf8).write(to: URL(fileURLWithPath: output.file("part")))
      #expect(!File.exists(path))
      try output.publish()
      #expect(File.exists(path + "/part") && !File.exists(path + ".partial"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["part"])
    }
  }

  @Test func anUnpublishedOutputDisappears() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      do {
        let output = try PendingOutput(path)
        try Data("x".utf8).write(to: URL(fileURLWithPath: output.file("part")))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }
  }

  @Test func anExistingOutputIsRefusedAndUntouched() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: ChanterError.self) { try PendingOutput(path) }
      #expect(error?.kind == .exists)
      #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
      #expect(!File.exists(path + ".partial"))
    }
  }

  @Test func aSecondWriterIsRefused() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      let first = try PendingOutput(path)
      let error = #expect(throws: ChanterError.self) { try PendingOutput(path) }
      #expect(error?.kind == .exists && error?.message.contains("another process") == true)
      try first.publish()
      #expect(File.exists(path))
    }
  }

  @Test func whatAKilledRunLeftIsCleared() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      try FileManager.default.createDirectory(atPath: path + ".partial", withIntermediateDirectories: false)
      try Data().write(to: URL(fileURLWithPath: path + ".partial/.chanter-partial"))
      try Data("old".utf8).write(to: URL(fileURLWithPath: path + ".partial/train-00000.batches"))
      let output = try PendingOutput(path)
      #expect(!File.exists(output.file("train-00000.batches")))
      try output.publish()
    }
  }

  @Test func aFolderThatAKilledRunLeftIsCleared() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      let folder = path + ".partial/creating"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for name in ["/.chanter-partial", "/creating/data.mdb"] {
        try Data("x".utf8).write(to: URL(fileURLWithPath: path + ".partial" + name))
      }
      // It is not cleared by somebody who knows nothing of it.
      let error = #expect(throws: ChanterError.self) { try PendingOutput(path) }
      #expect(error?.message.contains("cannot remove") == true && File.exists(folder + "/data.mdb"))
      let output = try PendingOutput(path, folder: "creating")
      #expect(!File.exists(folder))
      output.discard()
      #expect(!File.exists(path + ".partial"))
    }
  }

  /// Without the marker nobody would know whose it is, and every later run would refuse it.
  @Test func whatCannotBeRemovedKeepsItsMarker() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      let deep = path + ".partial/one/two"
      do {
        let output = try PendingOutput(path)
        defer { output.discard() }
        try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
      }
      #expect(File.exists(path + ".partial/.chanter-partial"))
      let error = #expect(throws: ChanterError.self) { try PendingOutput(path) }
      #expect(error?.message.contains("cannot remove") == true)
      // Nor does who gives up so remove what it was to keep.
      let work = path + ".partial/work-x"
      try Data("x".utf8).write(to: URL(fileURLWithPath: work))
      #expect(throws: ChanterError.self) { try PendingOutput(path, keepingWork: true) }
      #expect(File.exists(work))
      try FileManager.default.removeItem(atPath: path + ".partial/one")
      try PendingOutput(path).publish()
      #expect(try FileManager.default.contentsOfDirectory(atPath: path).isEmpty)
    }
  }

  /// A process that was killed after it had published left work; one that was killed before, and renamed by hand, is not published.
  @Test func onlyWhatIsPublishedIsFinished() throws {
    try withTemporaryDirectory { directory in
      for (text, remaining) in [("published\n", 1), ("", 3)] {
        let path = directory.appendingPathComponent("out\(remaining)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        for (name, text) in [(".chanter-partial", text), ("work-x", "x"), ("manifest.json", "x")] {
          try Data(text.utf8).write(to: URL(fileURLWithPath: path + "/" + name))
        }
        #expect(throws: ChanterError.self) { try PendingOutput(path) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: path).count == remaining)
      }
    }
  }

  @Test func aForeignDirectoryIsNeverTouched() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("out").path
      try FileManager.default.createDirectory(atPath: path + ".partial", withIntermediateDirectories: false)
      try Data("mine".utf8).write(to: URL(fileURLWithPath: path + ".partial/notes"))
      #expect(throws: ChanterError.self) { try PendingOutput(path) }
      #expect(try String(contentsOfFile: path + ".partial/notes", encoding: .utf8) == "mine")
    }
  }
}
