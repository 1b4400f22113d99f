import CLMDB
import Foundation
import Primitives
import TestSupport
import Testing

@testable import TableStore

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Several processes on one model, and processes that die.
@Suite struct ProcessTests {
  @Test func secondTrainerIsRefused() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      var store: ModelStore? = try makeStore(path, testLayout(), dense: [])
      let error = try #require(message { _ = try ModelStore.openForTraining(at: path) })
      #expect(error.kind == .locked)
      #expect(error.message.contains("process \(getpid()) "))
      #expect(message { _ = try makeStore(path, testLayout(), dense: []) }?.kind == .locked)
      #expect(store?.path == path)
      store = nil
      #expect(message { _ = try makeStore(path, testLayout(), dense: []) }?.kind == .exists)
      _ = try ModelStore.openForTraining(at: path)
    }
  }

  /// A creation that died before its first commit leaves an environment without a model.
  @Test func interruptedCreationStartsOver() throws {
    try withTemporaryDirectory { directory in
      let path = directory.path
      _ = try Environment(path: path, readOnly: false)
      #expect(try !ModelStore.exists(at: path))
      #expect(message { _ = try ModelStore.openForTraining(at: path) }?.message.contains("no model") == true)
      _ = try makeStore(path, testLayout(), dense: [1])
      #expect(try ModelStore.exists(at: path))
    }
  }

  /// What belongs beside the model is there before it; where it cannot be put, no model appears, and the next try begins anew.
  @Test func aModelAppearsLast() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("model").path
      func create(_ prepare: () throws -> Void) throws -> ModelStore {
        try ModelStore.create(
          at: path, header: "{}", layout: testLayout(), dense: UnsafeRawBufferPointer(start: nil, count: 0),
          cursor: 0, beside: ["beside"], prepare: prepare)
      }
      let beside = path + "/beside"
      let error = message {
        _ = try create {
          try Data().write(to: URL(fileURLWithPath: beside))
          throw ChanterError(.io, "stopped here", path: path)
        }
      }
      #expect(error?.message == "stopped here")
      #expect(message { _ = try ModelStore.openForReading(at: path) }?.message.contains("no model") == true)
      let store = try create {
        #expect(File.exists(beside) && !File.exists(path + "/data.mdb"))
        let nothing = message { _ = try ModelStore.examine(at: path) { _ in } }
        #expect(nothing?.message.contains("no model") == true)
      }
      #expect(try Snapshot(store).cursor == 0)
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
      #expect(names == ["beside", "data.mdb", "lock.mdb", "trainer.lock"])
    }
  }

  /// A reader that comes at any moment of a creation finds no model, or all of it, and takes its slot where the trainer
  /// looks for readers.
  @Test func readersOfAModelBeingMadeFindAllOrNothing() async throws {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("chanter-test-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.path
    let count = 30
    let reader = NamedThread("reader") {
      let deadline = Date(timeIntervalSinceNow: 60)
      for number in 0..<count {
        while true {
          do {
            let store = try ModelStore.openForReading(at: "\(path)/\(number)")
            let snapshot = try Snapshot(store)
            _ = try snapshot.digest()
            try Data().write(to: URL(fileURLWithPath: "\(path)/\(number)/read"))
            // Until the maker has looked.
            while Date() < deadline, File.exists("\(path)/\(number)/read") { usleep(100) }
            withExtendedLifetime(snapshot) {}
            break
          } catch let error as ChanterError
            where error.message.contains("no model is there") && Date() < deadline
          {
            usleep(20)
          }
        }
      }
    }
    await #expect(processExitsWith: .success) { [path = path as String, count = count as Int] in
      for number in 0..<count {
        let store = try makeStore("\(path)/\(number)", testLayout(), dense: [UInt8(number)])
        let seen = "\(path)/\(number)/read"
        var waits = 0
        while !File.exists(seen), waits < 100_000 {
          usleep(100)
          waits += 1
        }
        var information = MDB_envinfo()
        mdb_env_info(store.environment.handle, &information)
        if information.me_numreaders == 0 { exit(1) }
        File.remove(seen)
      }
    }
    if let error = reader.join() { Issue.record("\(error)") }
  }

  /// A reader in another process sees the last commit while the trainer has the model open, and the trainer goes on.
  @Test func readerBesideTrainer() async throws {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("chanter-test-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.path
    let layout = testLayout()
    let store = try makeStore(path, layout, dense: [])
    let rows = randomRows(CounterRandom(seed: 1, stream: 1), count: 20, layout)
    try commit(store, rows, dense: [], cursor: 8)
    let digest = try Snapshot(store).digest()
    await #expect(processExitsWith: .success) { [path = path as String, digest = digest as String] in
      let store = try ModelStore.openForReading(at: path)
      let refused = message { _ = try ModelStore.openForTraining(at: path) }
      let mine = try Snapshot(store).digest()
      exit(mine == digest && refused?.kind == .locked ? 0 : 1)
    }
    try compactAll(store)
    #expect(try Snapshot(store).digest() == digest)
  }

  /// A reader that was killed would keep every page that is replaced later from being used again.
  @Test func compactionForgetsKilledReaders() async throws {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("chanter-test-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.path
    let layout = testLayout()
    let store = try makeStore(path, layout, dense: [])
    try commit(
      store, randomRows(CounterRandom(seed: 2, stream: 1), count: 20, layout), dense: [], cursor: 8)
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let snapshot = try Snapshot(ModelStore.openForReading(at: path))
      kill(getpid(), SIGKILL)
      withExtendedLifetime(snapshot) {}
    }
    _ = try #require(try store.makeCompaction(maximumBlocks: 100))
    var dead: Int32 = -1
    #expect(mdb_reader_check(store.environment.handle, &dead) == 0)
    #expect(dead == 0)
  }

  /// A process is killed while it commits and compacts as fast as it can. Whatever commit came last, rows and cursor
  /// belong together, and the model goes on.
  @Test func killedProcessLeavesTheLastCommit() async throws {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("chanter-test-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: directory) }
    let path = directory.path
    _ = try makeStore(path, testLayout(), dense: [])
    for round in 1...3 {
      let milliseconds = 20 + 30 * round
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [path = path as String, milliseconds = milliseconds as Int] in
        let store = try ModelStore.openForTraining(at: path)
        let killer = NamedThread("killer") {
          usleep(UInt32(1000 * milliseconds))
          kill(getpid(), SIGKILL)
        }
        while true {
          let cursor = try store.readState().cursor + 1
          try commit(store, ProcessTests.rowsOfCommit(cursor), dense: [UInt8(cursor % 256)], cursor: cursor)
          if cursor % 3 == 0 { _ = try store.makeCompaction(maximumBlocks: 2)?.step() }
        }
        _ = killer.join()
      }
      let store = try ModelStore.openForReading(at: path)
      let snapshot = try Snapshot(store)
      var truth = TruthModel(layout: testLayout(), dense: [])
      truth.cursor = snapshot.cursor
      #expect(truth.cursor > 0)
      for cursor in 1...max(1, truth.cursor) {
        for (key, row) in Self.rowsOfCommit(cursor) { truth.rows[key] = row }
      }
      truth.dense = [UInt8(truth.cursor % 256)]
      #expect(try snapshot.digest() == truth.digest())
    }
  }

  static func rowsOfCommit(_ cursor: UInt64) -> [(RowKey, [Float])] {
    (0..<UInt64(6)).map { index in
      let row = UInt32((cursor * index * 37) % 300 + index * 1000)
      return (RowKey(table: Int(index % 3), row: row), [Float](repeating: Float(cursor), count: 17))
    }
  }

  /// When no more can be written, the commit says so and the last one stays; with room, the same call works.
  @Test func fullDiskLeavesTheLastCommit() async throws {
    await #expect(processExitsWith: .success) {
      try withTemporaryDirectory { directory in
        let layout = testLayout()
        let path = directory.appendingPathComponent("model").path
        let store = try makeStore(path, layout, dense: [])
        let rows = (0..<UInt32(4000)).map { (RowKey(table: 0, row: $0), [Float](repeating: 1, count: 17)) }
        try commit(store, Array(rows.prefix(5)), dense: [], cursor: 1)
        let digest = try Snapshot(store).digest()
        // A limit on the size of files stands in for the full disk: LMDB sees a write refused or cut short.
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: 200_000, rlim_max: rlim_t.max)
        setrlimit(__rlimit_resource_t(1), &limit)
        let error = message { try commit(store, rows, dense: [], cursor: 2) }
        guard error?.kind == .io, error?.message.contains("last commit is intact") == true,
          try Snapshot(store).digest() == digest
        else { exit(1) }
        limit.rlim_cur = rlim_t.max
        setrlimit(__rlimit_resource_t(1), &limit)
        try commit(store, rows, dense: [], cursor: 2)
        exit(try store.readState().cursor == 2 ? 0 : 2)
      }
    }
  }
}
