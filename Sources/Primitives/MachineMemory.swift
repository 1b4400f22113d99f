#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The memory that this process can have.
public enum MachineMemory {
  /// Bytes of the machine, or of the tightest memory cgroup around this process if that is less.
  public static var limit: Int { limit(root: "/") }

  /// - Parameter root: the folder that stands for the root of the file system, to test with.
  static func limit(root: String) -> Int {
    let installed = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))
    return groups(root).compactMap(number).reduce(installed, min)
  }

  /// The files that may hold a limit: of the process's group and of all groups around it. Where a container sees its own
  /// group as the root, the files of the path it is told are missing and those of the root are its own.
  private static func groups(_ root: String) -> [String] {
    guard let text = text(root + "proc/self/cgroup") else { return [] }
    var files: [String] = []
    for line in text.split(separator: "\n") {
      // hierarchy:controllers:path, with no controllers in version 2.
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      guard controllers.isEmpty || controllers.contains("memory") else { continue }
      let folder = root + (controllers.isEmpty ? "sys/fs/cgroup" : "sys/fs/cgroup/memory")
      // Beyond memory.high a group is slowed down until it has less again.
      let limits = controllers.isEmpty ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"]
      var names = fields[2].split(separator: "/")
      while true {
        for file in limits { files.append(([folder[...]] + names + [file[...]]).joined(separator: "/")) }
        if names.popLast() == nil { break }
      }
    }
    return files
  }

  /// The limit that a file says, nil where it says none.
  private static func number(_ path: String) -> Int? {
    // "max" in version 2; version 1 says a number beyond any memory.
    text(path).flatMap { Int($0.prefix { $0.isNumber }) }
  }

  /// The start of a file that the kernel writes.
  private static func text(_ path: String) -> String? {
    let bytes = [UInt8](unsafeUninitializedCapacity: 1 << 14) { bytes, count in
      guard let base = bytes.baseAddress, let file = try? File(reading: path) else { return }
      count = (try? file.read(into: base, atMost: bytes.count)) ?? 0
    }
    return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
  }
}
