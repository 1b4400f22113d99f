import Foundation
import TestSupport
import Testing

@testable import Primitives

@Suite struct MachineMemoryTests {
  /// A file system with the group of the process and the limits of some groups.
  private func limit(groups: String, _ files: [String: String]) throws -> Int {
    try withTemporaryDirectory { directory in
      for (path, text) in files.merging(["proc/self/cgroup": groups], uniquingKeysWith: { $1 }) {
        let file = directory.appendingPathComponent(path)
        try FileManager.default.createDirectory(
          at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
      }
      return MachineMemory.limit(root: directory.path + "/")
    }
  }

  private let installed = Int(ProcessInfo.processInfo.physicalMemory)

  @Test func withoutGroupsItIsTheMachine() throws {
    #expect(try limit(groups: "", [:]) == installed)
    #expect(MachineMemory.limit(root: "/there/is/no/such/folder/") == installed)
    #expect(MachineMemory.limit <= installed)
  }

  @Test func theTightestGroupOfVersion2Counts() throws {
    let files = [
      "sys/fs/cgroup/a/memory.max": "3000000\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
      "sys/fs/cgroup/other/memory.max": "5\n", "sys/fs/cgroup/soft/memory.max": "max\n",
      "sys/fs/cgroup/soft/memory.high": "4000000\n",
    ]
    #expect(try limit(groups: "0::/a/b\n", files) == 3_000_000)
    #expect(try limit(groups: "0::/other\n", files) == 5)
    #expect(try limit(groups: "0::/soft\n", files) == 4_000_000)
  }

  /// In a container that sees its own group as the root, the path is one of the host's.
  @Test func theRootOfAContainerCountsInVersion1() throws {
    let groups = "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n"
    let files = ["sys/fs/cgroup/memory/memory.limit_in_bytes": "7000000\n"]
    #expect(try limit(groups: groups, files) == 7_000_000)
    let none = ["sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"]
    #expect(try limit(groups: groups, none) == installed)
  }
}
