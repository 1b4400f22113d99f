import Foundation
import Primitives
import Testing

@Suite struct FileTests {
  @Test func bytesComeBackAndShortReadsAreErrors() throws {
    let file = try File(temporaryIn: NSTemporaryDirectory())
    try Array("hello world".utf8).withUnsafeBytes { try file.write($0) }
    try Array("HE".utf8).withUnsafeBytes { try file.write($0, at: 0) }
    #expect(try file.size() == 11)
    let buffer = AlignedBuffer<UInt8>(count: 20)
    try file.read(at: 0, into: buffer.base, count: 11)
    #expect(buffer.prefix(11).elementsEqual("HEllo world".utf8))
    try file.seek(to: 0)
    #expect(try file.read(into: buffer.base, atMost: 20) == 11)
    #expect(try file.read(into: buffer.base, atMost: 20) == 0)
    let error = #expect(throws: ChanterError.self) { try file.read(at: 6, into: buffer.base, count: 10) }
    #expect(error?.kind == .corrupt && error?.offset == 11)
  }

  @Test func errorsNameThePath() throws {
    let path = "\(NSTemporaryDirectory())/chanter-\(UUID().uuidString)"
    let missing = #expect(throws: ChanterError.self) { try File(reading: path) }
    #expect(missing?.kind == .io && missing?.path == path)
    _ = try File(creating: path)
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(#expect(throws: ChanterError.self) { try File(creating: path) }?.kind == .exists)
    #expect(#expect(throws: ChanterError.self) { try File.move(path, to: path) }?.kind == .exists)
    #expect(#expect(throws: ChanterError.self) { try File(reading: "/") }?.kind == .badInput)
  }

  @Test func aSecondNameIsForWhatIsThereAndFree() throws {
    let folder = "\(NSTemporaryDirectory())/chanter-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func failure(_ path: String, as target: String) -> ChanterError? {
      #expect(throws: ChanterError.self) {
        try File.duplicate("\(folder)/\(path)", as: "\(folder)/\(target)")
      }
    }
    try Array("text".utf8).withUnsafeBytes { try File(creating: folder + "/a").write($0) }
    try File.duplicate(folder + "/a", as: folder + "/b")
    #expect(File.regularSize(folder + "/b") == 4)
    #expect(failure("a", as: "b")?.kind == .exists)
    for (path, target) in [("c", "d"), ("a", "none/d")] {
      let error = failure(path, as: target)
      #expect(error?.kind == .io && error?.path == "\(folder)/\(path)", "\(String(describing: error))")
      #expect(error?.message.contains("\(folder)/\(target)") == true)
    }
  }

  @Test(arguments: [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/", "a")])
  func parents(path: String, parent: String) {
    #expect(File.parent(of: path) == parent)
  }
}
