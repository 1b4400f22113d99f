import BatchStore
import Foundation
import Models
import Primitives
import TableStore
import TestSupport
import Testing

@testable import Training

@Suite struct ExportTests {
  /// More than a third of the budget is the network's, which is there before a warm start begins.
  @Test func aWarmStartKeepsToWhatTheNetworkLeaves() throws {
    try withTemporaryDirectory { directory in
      let data = directory.appendingPathComponent("data").path
      try SmallDataset.write(to: data, batches: 2, batchSize: 32)
      var configuration = SmallDataset.configuration()
      configuration.model.network.top = [4096, 512, 1]
      let setup = try Harness(data, configuration).setup
      let budget = setup.memoryNeeds(run: configuration.run, commitInterval: 64).minimum + (4 << 20)
      #expect(3 * setup.networkBytes > budget)
      let memory = WarmStart.memory(of: budget, beside: setup)
      let network = try setup.makeNetwork(workers: WorkerPool(threadCount: 1))
      let store = try setup.createModel(
        at: directory.appendingPathComponent("model").path,
        header: ModelHeader(configuration: configuration, dataset: setup.dataset), network: network)
      let writer = try WarmStartWriter(store, memory: memory / 2)
      #expect(
        setup.networkBytes + MemoryCosts.openStoreBytes + writer.memoryBytes + memory / 4 <= budget)
    }
  }

  @Test func aMatrixHasTheBytesThatNumpyWrites() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("a.npy").path
      let file = try NumpyFile(path, columns: 3)
      for row: [Float] in [[1, -2, 0.5], [0, .infinity, 7]] { try file.append(row) }
      try file.finish()
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      // numpy.lib.format: magic, version 1.0, length of the header, which ends at a multiple of 64.
      #expect(Array(bytes[0..<10]) == [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0])
      let header = String(decoding: bytes[10..<128], as: UTF8.self)
      #expect(header.hasPrefix("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"))
      #expect(header.hasSuffix(" \n") && header.utf8.count == 118)
      let values: [Float] = [1, -2, 0.5, 0, .infinity, 7]
      #expect(Array(bytes[128...]) == values.flatMap { withUnsafeBytes(of: $0, Array.init) })
    }
  }

  @Test func tensorsLieWhereTheHeaderSays() throws {
    try withTemporaryDirectory { directory in
      let path = directory.appendingPathComponent("a.safetensors").path
      let weight: [Float] = [1, 2, 3, 4, 5, 6]
      let bias: [Float] = [-1, -2]
      try weight.withUnsafeBufferPointer { weight in
        try bias.withUnsafeBufferPointer { bias in
          try SafetensorsFile.write(
            path,
            [
              .init(name: "layers.1.weight", shape: [2, 3], values: weight),
              .init(name: "layers.1.bias", shape: [2], values: bias),
            ], metadata: ["batches": "7"])
        }
      }
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      let length = bytes.withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
      #expect(length % 8 == 0)
      let header = try #require(
        try JSONSerialization.jsonObject(with: Data(bytes[8..<8 + length])) as? [String: [String: Any]])
      #expect(header["__metadata__"] as? [String: String] == ["batches": "7"])
      for (name, shape, expected) in [
        ("layers.1.weight", [2, 3], weight), ("layers.1.bias", [2], bias),
      ] {
        let entry = try #require(header[name])
        #expect(entry["dtype"] as? String == "F32" && entry["shape"] as? [Int] == shape)
        let offsets = try #require(entry["data_offsets"] as? [Int])
        let stored = Array(bytes[8 + length + offsets[0]..<8 + length + offsets[1]])
        #expect(stored == expected.flatMap { withUnsafeBytes(of: $0, Array.init) })
      }
      #expect(bytes.count == 8 + length + 4 * 8)
    }
  }
}
