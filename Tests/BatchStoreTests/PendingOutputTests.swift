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
