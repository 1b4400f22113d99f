import Foundation
import Testing

/// What fuzzing begins with, and what it once found, in every run of the tests.
@Suite(.serialized) struct CorpusTests {
  @Test(arguments: FuzzTarget.allCases)
  func everyInputIsReadOrRefused(target: FuzzTarget) throws {
    var accepted = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: target.corpus).sorted() {
      let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(target.corpus)/\(name)"))
      do {
        if try bytes.withUnsafeBytes({ try target.run($0) }) { accepted += 1 }
      } catch {
        Issue.record("\(name): \(error)")
      }
    }
    // Fuzzing that begins with nothing good gets nowhere: after a change of a format its files have to be made anew.
    #expect(accepted > 0)
  }
}
