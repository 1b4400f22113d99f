import ArgumentParser
import Foundation
import Primitives

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// What the checksum of a block costs beside a copy of the same bytes, as nanoseconds a block: of blocks that the CPU's caches
/// hold, and of blocks that come from memory, in scattered order as a fetch meets them.
struct Checksum: ParsableCommand {
  @Option(help: "Blocks from memory: more than the caches hold.") var blocks = 65_536
  @Option(help: "Passes over as many blocks; the median counts.") var passes = 9

  private static let blockBytes = 4080
  private static let cachedBlocks = 4

  private struct Result: Encodable {
    struct Cost: Encodable {
      let checksum: Double
      let copy: Double
    }
    let cached: Cost
    let memory: Cost
  }

  func run() throws {
    let pages = AlignedBuffer<UInt8>(count: blocks << 12)
    for index in 0..<pages.count {
      pages.base[index] = UInt8(truncatingIfNeeded: index &* 2_654_435_761 >> 7)
    }
    let target = AlignedBuffer<UInt8>(count: Self.blockBytes)
    func cost(_ held: Int) -> Result.Cost {
      var sums: [Double] = []
      var copies: [Double] = []
      var sum: UInt32 = 0
      for _ in 0..<passes {
        sums.append(
          nanoseconds(of: held) { number in
            // As the store does: the place first, then what comes after the checksum itself.
            var place = (UInt64(0), UInt64(number))
            let seed = withUnsafeBytes(of: &place) { CRC32C.checksum($0) }
            let bytes = UnsafeRawBufferPointer(
              start: pages.base + number << 12 + 4, count: Self.blockBytes - 4)
            sum ^= CRC32C.checksum(bytes, seed: seed)
          })
        copies.append(
          nanoseconds(of: held) { number in
            memcpy(target.base, pages.base + number << 12, Self.blockBytes)
            sum ^= UInt32(target.base[number & 1023])
          })
      }
      // Without a use of it the work might be left out.
      precondition(sum != 1)
      return Result.Cost(checksum: sums.sorted()[passes / 2], copy: copies.sorted()[passes / 2])
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let result = try encoder.encode(Result(cached: cost(Self.cachedBlocks), memory: cost(blocks)))
    FileHandle.standardOutput.write(result + Data("\n".utf8))
  }

  /// Nanoseconds a block of `body`, over `blocks` calls with the first `held` blocks, scattered.
  private func nanoseconds(of held: Int, _ body: (_ number: Int) -> Void) -> Double {
    let start = ContinuousClock.now
    var number = 0
    for _ in 0..<blocks {
      body(number)
      // A prime that no sensible number of blocks is a multiple of, so that each comes once before one comes again.
      number = (number + 40_507) % held
    }
    return (ContinuousClock.now - start) / .nanoseconds(1) / Double(blocks)
  }
}
